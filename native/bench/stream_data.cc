#include "bench/stream_data.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "engine/invent.h"

namespace bnn {
namespace {

// Small multiples of 1/8 are exact in every format; int8 counts in steps of 1/8 from 1/2.
constexpr float kStep = 0.125f, kOffset = 0.5f;
constexpr double kFlippedBits = 0.01;  // int8: folded constants round differently

size_t element_bytes(StreamType type) {
  return type == StreamType::kFloat32 ? 4 : type == StreamType::kInt8 ? 1 : 2;
}

// A multiple of kStep within 4, into any format; scalar, so not by the kernels' instructions.
void encode(StreamType type, float value, char* to) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (type == StreamType::kFloat32) {
    std::memcpy(to, &bits, 4);
  } else if (type == StreamType::kInt8) {
    *to = char(int8_t((value - kOffset) / kStep));
  } else {
    uint16_t half = uint16_t(bits >> 16);
    if (type == StreamType::kFloat16) {  // exponents count from -15 instead of -127
      const uint32_t magnitude = bits & 0x7fffffff;
      half = uint16_t((bits >> 16 & 0x8000) | (magnitude ? (magnitude >> 13) - (112 << 10) : 0));
    }
    std::memcpy(to, &half, 2);
  }
}

float decode(StreamType type, const char* from) {
  if (type == StreamType::kInt8) return kOffset + kStep * float(int8_t(*from));
  uint32_t bits = 0;
  if (type == StreamType::kFloat32) {
    std::memcpy(&bits, from, 4);
  } else {
    uint16_t half;
    std::memcpy(&half, from, 2);
    if (type == StreamType::kFloat16) {
      const float magnitude = half & 0x7c00
                                  ? std::ldexp(float(1024 + (half & 0x3ff)), (half >> 10 & 31) - 25)
                                  : std::ldexp(float(half & 0x3ff), -24);
      return half & 0x8000 ? -magnitude : magnitude;
    }
    bits = uint32_t(half) << 16;
  }
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Half a step of the format around a value, and what int8's folding may add.
float tolerance(StreamType type, float value) {
  switch (type) {
    case StreamType::kFloat32:
      return 0.0f;
    case StreamType::kBfloat16:
      return std::fabs(value) * 0x1p-8f;
    case StreamType::kFloat16:
      return std::max(std::fabs(value) * 0x1p-11f, 0x1p-24f);
    case StreamType::kInt8:
      return kStep * 0.501f;
  }
  return 0.0f;
}

}  // namespace

bool StreamRun::make(int size, int channels, const StreamFormat& format, const Place& place) {
  shape_ = {size, size, channels, size, size, channels, 1, 1, 1, 0, 0};
  format_ = &format;
  place_ = place;
  const size_t row_elements = size_t(size) * channels,
               row_words = size_t(size) * words_of(channels);
  rows_ = place.tensor_bytes ? int(place.tensor_bytes / (row_elements * sizeof(float))) : size;
  const bool ring = place.shortcut_rows != 0;
  in_ = {nullptr, nullptr, ring ? place.shortcut_rows : rows_, ring ? 1 : rows_};
  // The reader is a 3x3.
  out_ = {nullptr, nullptr, ring ? place.value_rows : rows_, ring ? 3 : rows_};
  size_t bytes = 0;
  for (const bool placing : {false, true}) {
    if (placing) {
      memory_ = allocate_zeroed(bytes);
      if (!memory_) return false;
    }
    Placer placer(memory_.get());
    prepared_ = placer.take<char>(stream_prepared_bytes(shape_));
    for (float** constant : {&scale_, &bias_, &beta_, &zeta_, &threshold_, &step_, &offset_,
                             &folded_bias_, &folded_threshold_, &out_scale_, &out_offset_}) {
      *constant = placer.take<float>(size_t(padded_channels(channels)));
    }
    for (Tensor* tensor : {&in_, &out_}) {
      tensor->values =
          placer.take<char>(row_elements * tensor->value_rows * element_bytes(format.type));
      tensor->bits = placer.take<uint64_t>(row_words * tensor->bit_rows);
    }
    bytes = placer.bytes();
  }
  fill();
  return true;
}

void StreamRun::fill() {
  SplitMix64 random{1};
  const int channels = shape_.out_c;
  const bool folds = format_->type == StreamType::kInt8;
  for (int c = 0; c < channels; ++c) {
    scale_[c] = random.uniform(-0.5f, 0.5f) / float(shape_.k_bits());
    bias_[c] = random.uniform(-2.0f, -1.0f);  // values stay small when outputs become inputs
    beta_[c] = random.uniform(0.0f, 0.5f);
    zeta_[c] = random.uniform(-0.25f, 0.25f);
    threshold_[c] = random.uniform(-0.5f, 0.5f);
    step_[c] = kStep;
    offset_[c] = kOffset;
    folded_bias_[c] = bias_[c] + (folds ? offset_[c] : 0.0f);
    folded_threshold_[c] = threshold_[c] - (folds ? zeta_[c] : 0.0f);
    out_scale_[c] = 1.0f / step_[c];
    out_offset_[c] = (zeta_[c] - offset_[c]) * out_scale_[c];
  }
  constants_ = {{scale_, folded_bias_, beta_, zeta_, folded_threshold_, true},
                step_,
                out_scale_,
                out_offset_};
  std::vector<uint64_t> weights(size_t(channels) * words_of(channels));
  for (uint64_t& word : weights) word = random.next();
  prepare_stream(shape_, weights.data(), prepared_);
  const size_t row_words = size_t(shape_.out_w) * words_of(channels);
  for (size_t i = 0; i < row_words * in_.bit_rows; ++i) in_.bits[i] = random.next();
  const size_t element = element_bytes(format_->type);
  const size_t row_elements = size_t(shape_.out_w) * channels;
  for (const Tensor& tensor : {in_, out_}) {
    for (size_t i = 0; i < row_elements * tensor.value_rows; ++i) {
      const float value = kStep * (float(random.below(65)) - 32.0f);
      encode(format_->type, value, tensor.values + i * element);
    }
  }
}

void StreamRun::run_row(const Tensor& in, const Tensor& out, int y) const {
  const size_t row_bytes = size_t(shape_.out_w) * shape_.out_c * element_bytes(format_->type);
  const size_t row_words = size_t(shape_.out_w) * words_of(shape_.out_c);
  const uint64_t* const rows[] = {in.bits + row_words * (y % in.bit_rows)};
  format_->run_row(
      shape_, prepared_, constants_,
      {rows, in.values + row_bytes * (y % in.value_rows),
       out.values + row_bytes * (y % out.value_rows), out.bits + row_words * (y % out.bit_rows)});
}

void StreamRun::pass() {
  for (int y = 0; y < rows_; ++y) run_row(in_, out_, y);
  if (place_.shortcut_rows == 0) std::swap(in_, out_);
}

std::string StreamRun::check() {
  const int channels = shape_.out_c, pixels = shape_.out_w;
  const size_t count = size_t(pixels) * channels, element = element_bytes(format_->type);
  const size_t words = size_t(pixels) * words_of(channels);
  std::vector<float> shortcut(count), expected(count);
  std::vector<uint64_t> expected_bits(words);
  for (size_t i = 0; i < count; ++i) shortcut[i] = decode(format_->type, in_.values + i * element);
  int formats = 0;
  const StreamFormat& engine = stream_formats(&formats)[0];
  const StreamConstants plain = {
      {scale_, bias_, beta_, zeta_, threshold_, true}, nullptr, nullptr, nullptr};
  const uint64_t* const rows[] = {in_.bits};
  engine.run_row(shape_, prepared_, plain,
                 {rows, shortcut.data(), expected.data(), expected_bits.data()});
  run_row(in_, out_, 0);
  char text[100];
  for (size_t i = 0; i < count; ++i) {
    const float value = decode(format_->type, out_.values + i * element);
    if (!(std::fabs(value - expected[i]) <= tolerance(format_->type, expected[i]))) {
      std::snprintf(text, sizeof text, "value %zu is %g, expected %g", i, double(value),
                    double(expected[i]));
      return text;
    }
  }
  size_t flipped = 0;
  for (size_t i = 0; i < words; ++i) {
    flipped += size_t(__builtin_popcountll(out_.bits[i] ^ expected_bits[i]));
  }
  const double allowed = format_->type == StreamType::kInt8 ? kFlippedBits * double(count) : 0.0;
  if (double(flipped) <= allowed) return {};
  std::snprintf(text, sizeof text, "%zu of %zu bits differ", flipped, count);
  return text;
}

}  // namespace bnn
