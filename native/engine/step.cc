#include "engine/step.h"

#include <algorithm>

namespace bnn {
namespace {

int32_t same_out(int32_t size, int32_t stride) { return (size + stride - 1) / stride; }

// Padding before the first pixel under TensorFlow's SAME rule.
int32_t same_pad_before(int32_t size, int32_t kernel, int32_t stride) {
  return std::max((same_out(size, stride) - 1) * stride + kernel - size, 0) / 2;
}

bool check_sizes(int index, const Step& step, Status* status) {
  const ConvShape& s = step.shape;
  const struct {
    const char* name;
    int32_t value, max;
  } fields[] = {{"in_height", s.in_h, kMaxSize},   {"in_width", s.in_w, kMaxSize},
                {"in_channels", s.in_c, kMaxSize}, {"out_height", s.out_h, kMaxSize},
                {"out_width", s.out_w, kMaxSize},  {"out_channels", s.out_c, kMaxSize},
                {"kernel", s.kernel, kMaxKernel},  {"stride", s.stride, kMaxStride},
                {"groups", s.groups, kMaxSize}};
  for (const auto& field : fields) {
    if (field.value < 1 || field.value > field.max) {
      return status->fail(Code::kMalformed, "step %d: %s must be 1..%d, got %d", index, field.name,
                          field.max, field.value);
    }
  }
  if (step.border < 0 || step.border > kMaxKernel / 2) {
    return status->fail(Code::kMalformed, "step %d: border must be 0..%d, got %d", index,
                        kMaxKernel / 2, step.border);
  }
  const uint64_t in_h = s.in_h + 2 * s.border(), in_w = s.in_w + 2 * s.border();
  const uint64_t out_h = s.out_h + 2 * step.border, out_w = s.out_w + 2 * step.border;
  const uint64_t in = in_h * in_w * words_of(s.in_c) * 64 * sizeof(float);
  const uint64_t out = out_h * out_w * words_of(s.out_c) * 64 * sizeof(float);
  uint64_t weights = 1;
  const uint64_t factors[] = {uint64_t(s.out_c), uint64_t(s.kernel) * s.kernel,
                              uint64_t(words_of(s.in_c / s.groups)) * 64 * sizeof(float)};
  for (uint64_t factor : factors) weights *= factor;  // at most 2^16 * 2^16 * 2^18: no overflow
  if (std::max({in, out, weights}) > kMaxTensorBytes) {
    return status->fail(Code::kMalformed, "step %d: a tensor is larger than 2^31 bytes", index);
  }
  return true;
}

bool check_convolution(int index, const Step& step, Status* status) {
  const ConvShape& s = step.shape;
  if (s.kernel % 2 == 0) {
    return status->fail(Code::kMalformed, "step %d: kernel must be odd, got %d", index, s.kernel);
  }
  if (s.in_c % s.groups || s.out_c % s.groups) {
    return status->fail(Code::kMalformed,
                        "step %d: groups must divide %d input and %d output channels, got %d",
                        index, s.in_c, s.out_c, s.groups);
  }
  if (step.kind == StepKind::kBconv2d && s.k_bits() > kMaxWindowBits) {
    return status->fail(Code::kMalformed, "step %d: a window has %d bits, more than 2^24", index,
                        s.k_bits());
  }
  if (s.out_h != same_out(s.in_h, s.stride) || s.out_w != same_out(s.in_w, s.stride)) {
    return status->fail(Code::kMalformed,
                        "step %d: SAME padding gives an output of %dx%d, got %dx%d", index,
                        same_out(s.in_h, s.stride), same_out(s.in_w, s.stride), s.out_h, s.out_w);
  }
  const bool same_size = s.in_h == s.out_h && s.in_w == s.out_w;
  bool fits = false;
  switch (step.shortcut) {
    case Shortcut::kNone:
      fits = true;
      break;
    case Shortcut::kIdentity:
      fits = same_size && s.in_c == s.out_c;
      break;
    case Shortcut::kAvgPool:
      fits = s.stride == 2 && s.in_c == s.out_c;
      break;
    case Shortcut::kRepeat:
      fits = same_size && s.out_c % s.in_c == 0;
      break;
  }
  const bool binary = step.kind == StepKind::kBconv2d;
  if (!binary && step.shortcut != Shortcut::kNone) fits = false;
  if (!fits) {
    return status->fail(Code::kMalformed, "step %d: shortcut %d does not fit %s %dx%dx%d-%dx%dx%d",
                        index, int(step.shortcut), step_kind_name(step.kind), s.in_h, s.in_w,
                        s.in_c, s.out_h, s.out_w, s.out_c);
  }
  if (!binary && (step.activation != Activation::kNone || step.zero_padding)) {
    return status->fail(Code::kMalformed, "step %d: activation and padding are a bconv2d's", index);
  }
  if (step.zero_padding && step.activation != Activation::kNone) {
    return status->fail(Code::kMalformed, "step %d: zero padding excludes an activation", index);
  }
  if (!step.float_out && !step.bits_out) {
    return status->fail(Code::kMalformed, "step %d: writes neither floats nor bits", index);
  }
  if (!step.bits_out && step.border) {
    return status->fail(Code::kMalformed, "step %d: border %d without packed output", index,
                        step.border);
  }
  return true;
}

bool check_pack(int index, const Step& step, Status* status) {
  const ConvShape& s = step.shape;
  if (s.kernel == 1 && s.stride == 1 && s.groups == 1 && s.in_h == s.out_h && s.in_w == s.out_w &&
      s.in_c == s.out_c && step.shortcut == Shortcut::kNone && !step.rprelu && step.bits_out &&
      step.activation == Activation::kNone && !step.zero_padding) {
    return true;
  }
  return status->fail(Code::kMalformed,
                      "step %d: pack has kernel, stride and groups 1, one size and bits", index);
}

bool check_plain(int index, const Step& step, Status* status) {
  const ConvShape& s = step.shape;
  const char* name = step_kind_name(step.kind);
  if (s.kernel != 1 || s.stride != 1 || s.groups != 1 || step.shortcut != Shortcut::kNone ||
      step.rprelu || step.bits_out || !step.float_out || step.border ||
      step.activation != Activation::kNone || step.zero_padding) {
    return status->fail(Code::kMalformed,
                        "step %d: %s has kernel, stride and groups 1 and only floats", index, name);
  }
  const bool pool = step.kind == StepKind::kGlobalAvgpool;
  if (s.out_h != 1 || s.out_w != 1 || (pool && s.in_c != s.out_c) ||
      (!pool && (s.in_h != 1 || s.in_w != 1))) {
    return status->fail(Code::kMalformed, "step %d: %s cannot turn %dx%dx%d into %dx%dx%d", index,
                        name, s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, s.out_c);
  }
  return true;
}

}  // namespace

const char* step_kind_name(StepKind kind) {
  constexpr const char* kNames[] = {"conv2d", "bconv2d", "global_avgpool", "linear", "pack"};
  return kNames[int(kind)];
}

const char* slot_name(int slot) {
  constexpr const char* kNames[] = {"weights", "scale", "bias",     "gamma",
                                    "beta",    "zeta",  "threshold"};
  return kNames[slot];
}

int Step::first_row(int y) const {
  // The window begins at or above the pixel that a shortcut reads.
  return std::clamp(shape.window_row(y), 0, shape.in_h - 1);
}

int Step::last_row(int y) const {
  int last = shape.window_row(y) + shape.kernel - 1;
  if (shortcut == Shortcut::kAvgPool) last = std::max(last, 2 * y + 1);
  return std::clamp(last, 0, shape.in_h - 1);
}

size_t Step::in_values() const {
  return reads_values() ? size_t(shape.in_h) * shape.in_w * shape.in_c : 0;
}

size_t Step::in_words() const {
  return reads_bits() ? size_t(shape.in_h) * shape.padded_w() * words_of(shape.in_c) : 0;
}

size_t Step::out_values() const { return float_out ? out_elements() : 0; }

size_t Step::out_words() const {
  if (!bits_out) return 0;
  return size_t(shape.out_h) * (shape.out_w + 2 * border) * words_of(shape.out_c);
}

size_t constant_bytes(const Step& step, int slot) {
  const ConvShape& s = step.shape;
  const size_t channel_floats = sizeof(float) * s.out_c;
  if (step.kind == StepKind::kGlobalAvgpool) return 0;
  if (step.kind == StepKind::kPack) return slot == kThreshold ? channel_floats : 0;
  switch (slot) {
    case kWeights: {
      const size_t windows = size_t(s.out_c) * s.kernel * s.kernel;
      const int channels = s.in_c_per_group();
      return step.kind == StepKind::kBconv2d ? windows * words_of(channels) * sizeof(uint64_t)
                                             : windows * channels * sizeof(float);
    }
    case kScale:
      return step.kind == StepKind::kBconv2d && !step.integer_threshold() ? channel_floats : 0;
    case kBias:
      return step.integer_threshold() ? 0 : channel_floats;
    case kGamma:
    case kBeta:
    case kZeta:
      return step.rprelu ? channel_floats : 0;
    case kThreshold:  // float32, or int32 for the integer epilogue: the same size
      return step.convolves() && step.bits_out ? channel_floats : 0;
    default:
      return 0;
  }
}

bool check_step(int index, Step* step, Status* status) {
  if (!check_sizes(index, *step, status)) return false;
  const auto check = step->convolves()               ? check_convolution
                     : step->kind == StepKind::kPack ? check_pack
                                                     : check_plain;
  if (!check(index, *step, status)) return false;
  ConvShape& s = step->shape;
  s.pad_top = same_pad_before(s.in_h, s.kernel, s.stride);
  s.pad_left = same_pad_before(s.in_w, s.kernel, s.stride);
  return true;
}

}  // namespace bnn
