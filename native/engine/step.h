// One fused unit of work, as bnn_deploy/steps.py describes it, and the sizes that follow from it.
#pragma once

#include "core/conv_shape.h"
#include "engine/status.h"

namespace bnn {

// The order is that of StepKind in bnn_deploy/steps.py and of the .bnn file.
enum class StepKind : int32_t {
  kConv2d = 0,
  kBconv2d = 1,
  kGlobalAvgpool = 2,
  kLinear = 3,
  kPack = 4,  // floats to bits: how a chain begins that reads neither an image nor bits
};
constexpr StepKind kLastStepKind = StepKind::kPack;

const char* step_kind_name(StepKind kind);

constexpr int32_t kMaxKernel = 255, kMaxStride = 2;
constexpr int32_t kMaxSize = 1 << 16;  // of an image's side, and of channels
constexpr uint64_t kMaxTensorBytes = uint64_t(1) << 31;
constexpr int kMaxWindowBits = 1 << 24;  // of a binary convolution: its sums are exact as float32

// What is done to the dot product of a binary convolution before its scale: Larq's order, and
// TensorFlow's.
enum class Activation : int32_t { kNone = 0, kRelu = 1, kReluN1To1 = 2, kRelu6 = 3 };
constexpr Activation kLastActivation = Activation::kRelu6;

struct Step {
  StepKind kind;
  ConvShape shape;  // kernel, stride and groups are 1 for a pool and a linear step
  Shortcut shortcut;
  bool rprelu, float_out, bits_out;
  int32_t border;  // pixels of +1 around the packed output
  Activation activation = Activation::kNone;
  bool zero_padding = false;  // of a binary convolution: what is padded counts 0, not +1

  // The whole epilogue is one integer compare, acc > threshold.
  bool integer_threshold() const {
    return kind == StepKind::kBconv2d && shortcut == Shortcut::kNone && !rprelu && !float_out &&
           activation == Activation::kNone && !zero_padding;
  }
  bool reads_bits() const { return kind == StepKind::kBconv2d; }
  bool reads_values() const { return kind != StepKind::kBconv2d || shortcut != Shortcut::kNone; }
  bool convolves() const { return kind == StepKind::kConv2d || kind == StepKind::kBconv2d; }
  bool by_rows() const { return convolves() || kind == StepKind::kPack; }

  // The rows of its input that a step by rows reads for row y of its output, by window and
  // shortcut, cut to the image.
  int first_row(int y) const;
  int last_row(int y) const;

  // Elements of the tensors, 0 for one that this step does not read or write.
  size_t in_values() const;   // float32 [in_h, in_w, in_c]
  size_t in_words() const;    // uint64 [in_h, in_w + 2*border, words_of(in_c)]
  size_t out_values() const;  // float32 [out_h, out_w, out_c]
  size_t out_words() const;   // uint64 [out_h, out_w + 2*border, words_of(out_c)]
  size_t out_elements() const { return size_t(shape.out_h) * shape.out_w * shape.out_c; }
};

// The constants of a step, in the order of the slots of a .bnn record.
enum Slot { kWeights, kScale, kBias, kGamma, kBeta, kZeta, kThreshold, kSlots };

const char* slot_name(int slot);

// Bytes of one constant in its canonical layout (docs/bnn-format.md), 0 when the step has none.
size_t constant_bytes(const Step& step, int slot);

// Constants in their canonical layout, 8-byte aligned; null where constant_bytes is 0.
struct Constants {
  const void* slot[kSlots];

  const float* floats(Slot index) const { return static_cast<const float*>(slot[index]); }
};

// Whether the step can exist: sizes, SAME padding, groups, what its kind allows. `index` is for the
// message. Sets shape.pad_top and pad_left. No tensor may exceed 2^31 bytes, so that int arithmetic
// inside the kernels cannot overflow, and no binary window 2^24 bits, which float32 counts exactly.
bool check_step(int index, Step* step, Status* status);

}  // namespace bnn
