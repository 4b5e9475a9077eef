// A step's output is checked before it is timed: against the scalar kernels, which are the
// reference.
//   binary: sums equal, floats and bits equal bit for bit, border zero.
//   float:  within 1e-5 of the sum of magnitudes, bits equal to (own float < threshold).
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "doors/board/subject.h"
#include "engine/invent.h"

namespace bnn {
namespace {

constexpr float kTolerance = 1e-5f;         // float_ops.h: FMA and order of summation may differ
constexpr float kEpilogueMagnitude = 2.0f;  // invented |gamma| + |zeta| are below this

// Everything that a step can write, on whole tensors. Poisoned first, but for the border, so that
// what is not written shows.
struct Outputs {
  Tensors tensors;
  Memory sums;  // of a bconv2d
  size_t elements, words;

  bool make(const Step& step) {
    elements = step.out_elements();
    words = step.out_words();
    sums = allocate(elements * sizeof(int32_t));
    if (!sums ||
        !tensors.make_output(step, step.shape.out_h, !step.integer_threshold(), step.bits_out)) {
      return false;
    }
    const size_t inner = size_t(step.shape.out_w) * words_of(step.shape.out_c);
    for (int y = 0; step.bits_out && y < step.shape.out_h; ++y) {
      std::memset(tensors.rows().bits.row(y) + step.border * words_of(step.shape.out_c), 0xFF,
                  inner * sizeof(uint64_t));
    }
    return true;
  }
  const float* floats() const { return tensors.rows().values.base; }
  const uint64_t* packed() const { return tensors.rows().bits.base; }
  int32_t* counts() const { return reinterpret_cast<int32_t*>(sums.get()); }

  // False: no memory.
  bool run(const PreparedStep& prepared, const StepInput& in) {
    OwnScratch scratch;
    SumsStep sums_step;
    if (!scratch.make(prepared.step, in)) return false;
    run_step(prepared, in, tensors.rows(), scratch.get());
    return prepared.step.kind != StepKind::kBconv2d ||
           (sums_step.make(prepared) && sums_step.run(in, counts()));
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
  if (step.bits_out &&
      std::memcmp(got.packed(), want.packed(), got.words * sizeof(uint64_t)) != 0) {
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
  for (int y = 0; y < s.out_h; ++y) {
    for (int x = -border; x < s.out_w + border; ++x) {
      const bool inside = x >= 0 && x < s.out_w;
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
bool magnitudes(const Step& step, uint64_t seed, const StepInput& in, Outputs* out) {
  PreparedStep prepared;
  Status status;
  InventedConstants invented;
  Memory memory;
  Tensors absolute;
  if (!absolute.make_input(step, step.shape.in_h) || !invented.make(step, seed)) return false;
  Step plain = step;
  plain.rprelu = plain.bits_out = false;
  plain.float_out = true;
  plain.border = 0;
  for (Slot slot : {kWeights, kBias}) {
    float* values = static_cast<float*>(const_cast<void*>(invented.constants.slot[slot]));
    for (size_t i = 0; i < constant_bytes(plain, slot) / sizeof(float); ++i)
      values[i] = std::fabs(values[i]);
  }
  float* positive = absolute.rows().values.base;
  for (size_t i = 0; i < step.in_values(); ++i) positive[i] = std::fabs(in.values.base[i]);
  return choose_kernel(0, plain, {Isa::kScalar, nullptr}, &prepared, &status) &&
         prepare_owned(invented.constants, &prepared, &memory) && out->make(plain) &&
         out->run(prepared, absolute.as_input());
}

const char* compare_float(const PreparedStep& prepared, uint64_t seed, const StepInput& in,
                          const Outputs& got, const Outputs& want) {
  const Step& step = prepared.step;
  Outputs magnitude;
  if (!magnitudes(step, seed, in, &magnitude)) return "no memory to check it";
  for (size_t i = 0; i < got.elements; ++i) {
    const float bound = kTolerance * (magnitude.floats()[i] + kEpilogueMagnitude);
    if (!(std::fabs(got.floats()[i] - want.floats()[i]) <= bound)) {
      return "floats differ from those of the scalar step";
    }
  }
  return step.bits_out && !bits_match(prepared, got) ? "bits do not match the floats" : nullptr;
}

}  // namespace

void Subject::check() {
  const Step& step = prepared().step;
  PreparedStep scalar;
  Memory memory;
  InventedConstants invented;
  Tensors input;
  Outputs got, want;
  Status status;
  const char* wrong = "no memory to check it";
  if (choose_kernel(index_, step, {Isa::kScalar, nullptr}, &scalar, &status) &&
      invented.make(step, seed_) && prepare_owned(invented.constants, &scalar, &memory) &&
      input.make_input(step, step.shape.in_h) && got.make(step) && want.make(step)) {
    input.invent(step, seed_);
    if (got.run(prepared(), input.as_input()) && want.run(scalar, input.as_input())) {
      wrong = step.kind == StepKind::kBconv2d
                  ? compare_binary(step, got, want)
                  : compare_float(prepared(), seed_, input.as_input(), got, want);
    }
  }
  if (wrong) std::snprintf(error_, sizeof error_, "step %d: %s", index_, wrong);
}

}  // namespace bnn
