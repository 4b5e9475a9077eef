// A step's output is checked before it is timed: against the scalar kernels, which are the
// reference.
//   binary: sums equal, floats and bits equal bit for bit, border zero.
//   float:  within 1e-5 of the sum of magnitudes, bits equal to (own float < threshold).
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "doors/board/subject.h"

namespace bnn {
namespace {

constexpr float kTolerance = 1e-5f;         // float_ops.h: FMA and order of summation may differ
constexpr float kEpilogueMagnitude = 2.0f;  // invented |gamma| + |zeta| are below this

// Everything that a step can write, filled with ones first so that an unwritten border shows.
struct Outputs {
  Memory values, bits, sums;
  size_t elements, words;

  bool make(const Step& step) {
    elements = step.out_elements();
    words = step.out_words();
    values = allocate(elements * sizeof(float));
    bits = allocate(words * sizeof(uint64_t));
    sums = allocate(elements * sizeof(int32_t));
    if (!values || !bits || !sums) return false;
    std::memset(bits.get(), 0xFF, words * sizeof(uint64_t));
    return true;
  }
  float* floats() const { return reinterpret_cast<float*>(values.get()); }
  uint64_t* packed() const { return reinterpret_cast<uint64_t*>(bits.get()); }
  int32_t* counts() const { return reinterpret_cast<int32_t*>(sums.get()); }
  StepOutput all(const Step& step) const {
    const bool binary = step.kind == StepKind::kBconv2d;
    return {step.integer_threshold() ? nullptr : floats(), step.bits_out ? packed() : nullptr,
            binary ? counts() : nullptr};
  }
};

const char* compare_binary(const Step& step, const Outputs& got, const Outputs& want) {
  if (std::memcmp(got.counts(), want.counts(), got.elements * sizeof(int32_t)) != 0) {
    return "sums differ from those of the scalar kernel";
  }
  if (!step.integer_threshold() &&
      std::memcmp(got.floats(), want.floats(), got.elements * sizeof(float)) != 0) {
    return "floats differ from those of the scalar epilogue";
  }
  if (std::memcmp(got.packed(), want.packed(), got.words * sizeof(uint64_t)) != 0) {
    return "bits differ from those of the scalar epilogue";
  }
  return nullptr;
}

// Bits against the floats beside them: (y < t), tail and border zero.
bool bits_match(const PreparedStep& prepared, const Outputs& out) {
  const Step& step = prepared.step;
  const ConvShape& s = step.shape;
  const int border = step.border, words = words_of(s.out_c);
  const uint64_t* word = out.packed();
  for (int y = -border; y < s.out_h + border; ++y) {
    for (int x = -border; x < s.out_w + border; ++x) {
      const bool inside = y >= 0 && y < s.out_h && x >= 0 && x < s.out_w;
      const float* pixel = inside ? out.floats() + (size_t(y) * s.out_w + x) * s.out_c : nullptr;
      for (int w = 0; w < words; ++w, ++word) {
        uint64_t expected = 0;
        for (int c = 64 * w; inside && c < std::min(s.out_c, 64 * w + 64); ++c) {
          expected |= uint64_t(pixel[c] < prepared.epilogue.threshold[c]) << (c % 64);
        }
        if (*word != expected) return false;
      }
    }
  }
  return true;
}

// The scalar step without epilogue on absolute values: for each output, |bias| + sum |w| |x|.
bool magnitudes(const Step& step, uint64_t seed, const float* input, void* scratch, Outputs* out) {
  PreparedStep prepared;
  Status status;
  InventedConstants invented;
  Memory memory, absolute = allocate(step.in_values() * sizeof(float));
  if (!absolute || !invented.make(step, seed)) return false;
  Step plain = step;
  plain.rprelu = plain.bits_out = false;
  plain.float_out = true;
  for (Slot slot : {kWeights, kBias}) {
    float* values = static_cast<float*>(const_cast<void*>(invented.constants.slot[slot]));
    for (size_t i = 0; i < constant_bytes(plain, slot) / sizeof(float); ++i)
      values[i] = std::fabs(values[i]);
  }
  float* positive = reinterpret_cast<float*>(absolute.get());
  for (size_t i = 0; i < step.in_values(); ++i) positive[i] = std::fabs(input[i]);
  if (!choose_kernel(0, plain, {Isa::kScalar, nullptr}, &prepared, &status) ||
      !prepare_owned(invented.constants, &prepared, &memory) || !out->make(plain)) {
    return false;
  }
  run_step(prepared, {positive, nullptr}, out->all(plain), scratch);
  return true;
}

const char* compare_float(const PreparedStep& prepared, uint64_t seed, const StepInput& in,
                          void* scratch, const Outputs& got, const Outputs& want) {
  const Step& step = prepared.step;
  Outputs magnitude;
  if (!magnitudes(step, seed, in.values, scratch, &magnitude)) return "no memory to check it";
  for (size_t i = 0; i < got.elements; ++i) {
    const float bound = kTolerance * (magnitude.floats()[i] + kEpilogueMagnitude);
    if (!(std::fabs(got.floats()[i] - want.floats()[i]) <= bound)) {
      return "floats differ from those of the scalar step";
    }
  }
  return step.bits_out && !bits_match(prepared, got) ? "bits do not match the floats" : nullptr;
}

}  // namespace

void Subject::check(Buffers* buffers) {
  const Step& step = prepared_.step;
  const Work work = bind(buffers);
  PreparedStep scalar;
  Memory memory;
  InventedConstants invented;
  Outputs got, want;
  Status status;
  const char* wrong = nullptr;
  if (!choose_kernel(index_, step, {Isa::kScalar, nullptr}, &scalar, &status) ||
      !invented.make(step, seed_) || !prepare_owned(invented.constants, &scalar, &memory) ||
      !got.make(step) || !want.make(step)) {
    wrong = "no memory to check it";
  } else {
    run_step(prepared_, in_, got.all(step), scratch_);
    run_step(scalar, in_, want.all(step), scratch_);
    wrong = step.kind == StepKind::kBconv2d
                ? compare_binary(step, got, want)
                : compare_float(prepared_, seed_, in_, scratch_, got, want);
    work.call(work.context);  // and the outputs as they are timed
    if (!wrong && step.float_out &&
        std::memcmp(out_.values, got.floats(), got.elements * sizeof(float)) != 0) {
      wrong = "floats of a second run differ";
    }
    if (!wrong && step.bits_out &&
        std::memcmp(out_.bits, got.packed(), got.words * sizeof(uint64_t)) != 0) {
      wrong = "bits of a second run differ";
    }
  }
  if (wrong) std::snprintf(error_, sizeof error_, "step %d: %s", index_, wrong);
}

}  // namespace bnn
