#include "doors/litert/bconv2d_op.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <new>

#include "doors/litert/bits32.h"
#include "engine/segments.h"
#include "engine/tune.h"

namespace bnn::litert {
namespace {

constexpr size_t kGatheredBytes = size_t(128) << 10;  // near enough to be read again at once

// Taps of a window, along one axis, that are inside the image: from .. to - 1.
TapRange inside(int first, int dilation, int taps, int size) {
  const auto steps_to = [&](int64_t place) {  // taps before a place of the image
    return int(std::clamp<int64_t>((place - first + dilation - 1) / dilation, 0, taps));
  };
  return {first >= 0 ? 0 : steps_to(0), first >= size ? 0 : steps_to(size)};
}

}  // namespace

bool Bconv2dOp::make(const Graph& graph, const Node& node, const KernelChoice& choice, int threads,
                     Status* status) {
  const Shape &in = graph.tensor(node.input(0)).shape, &out = graph.tensor(node.output).shape;
  window_ = node.window;
  batch_ = in.dims[0];
  in_h_ = in.dims[1];
  in_w_ = in.dims[2];
  in_words_ = in.dims[3];
  out_h_ = out.dims[1];
  out_w_ = out.dims[2];
  out_c_ = graph.tensor(node.input(1)).shape.dims[0];
  groups_ = node.groups;
  per_group_ = node.channels_in / node.groups;
  tap_words_ = words32_of(per_group_);
  k_bits_ = window_.height * window_.width * per_group_;
  pad_top_ = window_.pad_top(in_h_);
  pad_left_ = window_.pad_left(in_w_);
  zero_padding_ = window_.same && !node.pads_with_one;
  output_type_ = graph.tensor(node.output).type;
  out_pixel_bytes_ = size_t(out.dims[3]) * (output_type_ == kInt8 ? 1 : 4);
  threads_ = threads;
  const auto* filter = reinterpret_cast<const uint32_t*>(graph.tensor(node.input(1)).ints());
  return prepare_kernel(graph, node, choice, status) && prepare_output(graph, node, status) &&
         prepare_padding(filter, status) && allocate_buffers(status);
}

// The pointwise convolution of gathered windows: groups * taps * whole words of a group.
bool Bconv2dOp::prepare_kernel(const Graph& graph, const Node& node, const KernelChoice& choice,
                               Status* status) {
  const int taps = window_.height * window_.width, span = taps * tap_words_ * 32;
  const size_t pixel_bytes = words_of(span * groups_) * sizeof(uint64_t) + out_c_ * sizeof(float);
  pixels_ = int(std::clamp<size_t>(kGatheredBytes / pixel_bytes, 1, size_t(out_w_)));
  Step step{};
  step.kind = StepKind::kBconv2d;
  step.shape = {1, pixels_, span * groups_, 1, pixels_, out_c_, 1, 1, groups_, 0, 0};
  step.float_out = true;
  if (!choose_kernel(node.index, step, choice, &pointwise_, status)) return false;
  if (!choice.kernel) tune(&pointwise_, 1);
  const size_t row = size_t(words_of(span)), channels = size_t(out_c_);
  const Memory weights = allocate_zeroed(channels * row * sizeof(uint64_t));
  const Memory ones = allocate_zeroed(2 * channels * sizeof(float));
  if (!weights || !ones) return status->fail(Code::kNoMemory, "no memory for weights");
  float* scale = reinterpret_cast<float*>(ones.get());
  std::fill_n(scale, channels, 1.0f);
  const auto* filter = reinterpret_cast<const uint32_t*>(graph.tensor(node.input(1)).ints());
  for (size_t o = 0; o < channels; ++o) {
    auto* to = reinterpret_cast<uint32_t*>(weights.get() + o * row * sizeof(uint64_t));
    for (int tap = 0; tap < taps; ++tap, filter += tap_words_, to += tap_words_) {
      copy_bits(filter, 0, per_group_, to);
    }
  }
  Constants constants{};
  constants.slot[kWeights] = weights.get();
  constants.slot[kScale] = scale;
  constants.slot[kBias] = scale + channels;
  if (prepare_owned(constants, &pointwise_, &constants_)) return true;
  return status->fail(Code::kNoMemory, "no memory for weights");
}

// In the arithmetic of Larq Compute Engine, so that int8 outputs round as its do:
//   y = 2 * acc * (-multiplier / scale) + ((bias + K * multiplier) / scale + zero_point)
bool Bconv2dOp::prepare_output(const Graph& graph, const Node& node, Status* status) {
  const Tensor& out = graph.tensor(node.output);
  if (output_type_ == kInt32) {
    thresholds_ = graph.tensor(node.input(4)).ints();
    return true;
  }
  const Bounds bounds = bounds_of(Activation(node.activation));
  least_ = float(k_bits_) - bounds.most;
  most_ = float(k_bits_) - bounds.least;
  const size_t channels = size_t(out_c_);
  vectors_ = allocate(2 * channels * sizeof(float));
  if (!vectors_) return status->fail(Code::kNoMemory, "no memory for constants");
  float* multiplier = reinterpret_cast<float*>(vectors_.get());
  float* bias = multiplier + channels;
  const bool int8 = output_type_ == kInt8;
  const double scale = int8 ? double(out.scale) : 1.0, zero = int8 ? double(out.zero_point) : 0.0;
  for (size_t o = 0; o < channels; ++o) {
    const double m = graph.tensor(node.input(2)).floats()[o];
    const double b = graph.tensor(node.input(3)).floats()[o];
    multiplier[o] = float(-m / scale);
    bias[o] = float((b + k_bits_ * m) / scale + zero);
  }
  multiplier_ = multiplier;
  bias_ = bias;
  return true;
}

// tap_sums: [taps, out_c], the sum of a tap's weights +-1.
bool Bconv2dOp::prepare_padding(const uint32_t* filter, Status* status) {
  if (!zero_padding_) return true;
  const int taps = window_.height * window_.width;
  tap_sums_ = allocate(size_t(taps) * size_t(out_c_) * sizeof(int32_t));
  if (!tap_sums_) return status->fail(Code::kNoMemory, "no memory for zero padding");
  auto* sums = reinterpret_cast<int32_t*>(tap_sums_.get());
  for (int o = 0; o < out_c_; ++o) {
    for (int tap = 0; tap < taps; ++tap, filter += tap_words_) {
      int negative = 0;
      for (int channel = 0; channel < per_group_; channel += 32) {
        uint32_t word = 0;
        copy_bits(filter, channel, std::min(32, per_group_ - channel), &word);
        negative += __builtin_popcount(word);
      }
      sums[size_t(tap) * out_c_ + o] = per_group_ - 2 * negative;
    }
  }
  return true;
}

bool Bconv2dOp::allocate_buffers(Status* status) {
  Placer placer(nullptr);
  placer.take<uint64_t>(size_t(pixels_) * words_of(pointwise_.step.shape.in_c));
  placer.take<float>(size_t(pixels_) * out_c_);
  buffer_bytes_ = placer.bytes();
  buffers_ = allocate_zeroed(buffer_bytes_ * size_t(threads_));
  return buffers_ || status->fail(Code::kNoMemory, "no memory for %zu bytes", buffer_bytes_);
}

Bconv2dOp::Buffers Bconv2dOp::buffers(int thread) const {
  Placer placer(buffers_.get() + buffer_bytes_ * size_t(thread));
  uint64_t* windows = placer.take<uint64_t>(size_t(pixels_) * words_of(pointwise_.step.shape.in_c));
  return {windows, placer.take<float>(size_t(pixels_) * out_c_)};
}

void Bconv2dOp::run(const void* in, void* out, Crew* crew) {
  in_ = static_cast<const uint32_t*>(in);
  out_ = static_cast<char*>(out);
  if (!crew) return run_rows(0, batch_ * out_h_, buffers(0));
  crew->run(
      [](void* self, int thread) {
        const auto* op = static_cast<const Bconv2dOp*>(self);
        const Band band = band_of(op->batch_ * op->out_h_, thread, op->threads_);
        op->run_rows(band.begin, band.end, op->buffers(thread));
      },
      this);
}

// Rows of all images, one after another. The last pixels of a row may be computed twice: the kernel
// is prepared for one number of them.
void Bconv2dOp::run_rows(int begin, int end, const Buffers& buffers) const {
  const uint64_t* const taps[] = {buffers.windows};
  for (int row = begin; row < end; ++row) {
    const int n = row / out_h_, y = row % out_h_;
    for (int next = 0; next < out_w_; next += pixels_) {
      const int x = std::min(next, out_w_ - pixels_);
      gather(n, y, x, buffers.windows);
      pointwise_.kernel->run_row(pointwise_.step.shape, pointwise_.weights, pointwise_.epilogue,
                                 {taps, {nullptr, 0}, {buffers.dots, nullptr}});
      if (zero_padding_) take_padding_off(y, x, buffers.dots);
      finish(buffers.dots, out_ + (size_t(row) * out_w_ + x) * out_pixel_bytes_);
    }
  }
}

// windows[i]: for each group, for each tap, its words; a tap outside the image is +1, that is 0.
void Bconv2dOp::gather(int n, int y, int x, uint64_t* windows) const {
  const size_t pixel_words = 2 * size_t(words_of(pointwise_.step.shape.in_c));
  const uint32_t* image = in_ + size_t(n) * in_h_ * in_w_ * in_words_;
  for (int i = 0; i < pixels_; ++i, ++x) {
    uint32_t* pixel = reinterpret_cast<uint32_t*>(windows) + i * pixel_words;
    for (int ky = 0; ky < window_.height; ++ky) {
      const int64_t in_y =
          int64_t(y) * window_.stride_h - pad_top_ + int64_t(ky) * window_.dilation_h;
      for (int kx = 0; kx < window_.width; ++kx) {
        const int64_t in_x =
            int64_t(x) * window_.stride_w - pad_left_ + int64_t(kx) * window_.dilation_w;
        const bool outside = in_y < 0 || in_y >= in_h_ || in_x < 0 || in_x >= in_w_;
        const uint32_t* from = outside ? nullptr : image + (in_y * in_w_ + in_x) * in_words_;
        const int taps = window_.height * window_.width;
        uint32_t* to = pixel + (ky * window_.width + kx) * tap_words_;
        for (int group = 0; group < groups_; ++group, to += taps * tap_words_) {
          if (outside) {
            std::fill_n(to, tap_words_, 0u);
          } else {
            copy_bits(from, group * per_group_, per_group_, to);
          }
        }
      }
    }
  }
}

void Bconv2dOp::take_padding_off(int y, int x, float* dots) const {
  const auto* sums = reinterpret_cast<const int32_t*>(tap_sums_.get());
  const TapRange rows =
      inside(y * window_.stride_h - pad_top_, window_.dilation_h, window_.height, in_h_);
  for (int i = 0; i < pixels_; ++i, ++x, dots += out_c_) {
    const TapRange columns =
        inside(x * window_.stride_w - pad_left_, window_.dilation_w, window_.width, in_w_);
    if (rows.whole(window_.height) && columns.whole(window_.width)) continue;
    for (int ky = 0; ky < window_.height; ++ky) {
      for (int kx = 0; kx < window_.width; ++kx) {
        if (ky >= rows.from && ky < rows.to && kx >= columns.from && kx < columns.to) continue;
        const int32_t* sum = sums + size_t(ky * window_.width + kx) * out_c_;
        for (int o = 0; o < out_c_; ++o) dots[o] -= float(sum[o]);
      }
    }
  }
}

// dots: [pixels_, out_c], of windows whose groups were padded to whole words of +1.
void Bconv2dOp::finish(const float* dots, void* out) const {
  const float all = float(pointwise_.step.shape.k_bits());  // all - dot = 2 * acc
  float* values = static_cast<float*>(out);
  int8_t* bytes = static_cast<int8_t*>(out);
  uint32_t* words = static_cast<uint32_t*>(out);
  const auto result = [&](int o) {
    return std::min(std::max(all - dots[o], least_), most_) * multiplier_[o] + bias_[o];
  };
  for (int i = 0; i < pixels_; ++i, dots += out_c_) {
    switch (output_type_) {
      case kFloat32:
        for (int o = 0; o < out_c_; ++o) *values++ = result(o);
        break;
      case kInt8:
        for (int o = 0; o < out_c_; ++o) {
          *bytes++ = int8_t(std::round(std::fmin(std::fmax(result(o), -128.0f), 127.0f)));
        }
        break;
      default:
        for (int o = 0; o < out_c_; o += 32) {
          uint32_t word = 0;
          for (int c = o; c < std::min(o + 32, out_c_); ++c) {
            word |= uint32_t(int32_t(all - dots[c]) / 2 > thresholds_[c]) << (c - o);
          }
          *words++ = word;
        }
    }
  }
}

}  // namespace bnn::litert
