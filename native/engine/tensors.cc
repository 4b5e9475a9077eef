#include "engine/tensors.h"

#include "engine/invent.h"
#include "engine/places.h"

namespace bnn {

bool Tensors::make(size_t place, int rows, size_t row_values, size_t row_words) {
  memory_.reset();
  for (int pass = 0; pass < 2; ++pass) {
    Placer placer(memory_.get());
    placer.skip_to(place);
    rows_.values = {placer.take<float>(row_values * rows), row_values, rows};
    rows_.bits = {placer.take<uint64_t>(row_words * rows), row_words, rows};
    if (pass == 0) memory_ = allocate_zeroed(placer.bytes());
    if (!memory_) return false;
  }
  if (row_values == 0) rows_.values.base = nullptr;
  if (row_words == 0) rows_.bits.base = nullptr;
  return true;
}

bool Tensors::make_output(const Step& step, int rows, bool values, bool bits) {
  const ConvShape& s = step.shape;
  return make(output_place(0), rows, values ? size_t(s.out_w) * s.out_c : 0,
              bits ? size_t(s.out_w + 2 * step.border) * words_of(s.out_c) : 0);
}

bool Tensors::make_input(const Step& step, int rows) {
  const ConvShape& s = step.shape;
  return make(input_place(0), rows, step.reads_values() ? size_t(s.in_w) * s.in_c : 0,
              in_words(step));
}

void Tensors::invent(const Step& step, uint64_t seed) {
  if (rows_.values.base) {
    invent_values(seed, rows_.values.stride * rows_.values.count, rows_.values.base);
  }
  if (rows_.bits.base) invent_bits(seed, step.shape, rows_.bits.count, rows_.bits.base);
}

bool OwnScratch::make(const Step& step, const StepInput& in) {
  memory_.reset();
  for (int pass = 0; pass < 2; ++pass) {
    Placer placer(memory_.get());
    placer.skip_to(scratch_place(0));
    float* shortcut = placer.take<float>(shortcut_floats(step));
    float* dots = placer.take<float>(activation_floats(step));
    const uint64_t* zeros = placer.take<uint64_t>(in_words(step));
    const uint64_t** taps = placer.take<const uint64_t*>(tap_count(step));
    scratch_ = {shortcut, dots, taps};
    if (pass == 0) memory_ = allocate_zeroed(placer.bytes());
    if (!memory_) return false;
    if (pass == 1) find_taps(step, in.bits, zeros, taps);
  }
  return true;
}

bool SumsStep::make(const PreparedStep& binary) {
  const size_t channels = size_t(padded_channels(binary.step.shape.out_c));
  constants_ = allocate_zeroed(2 * channels * sizeof(float));
  if (!constants_) return false;
  float* scale = reinterpret_cast<float*>(constants_.get());
  for (size_t o = 0; o < channels; ++o) scale[o] = 1.0f;
  prepared_ = binary;
  prepared_.step.shortcut = Shortcut::kNone;
  prepared_.step.rprelu = prepared_.step.bits_out = prepared_.step.zero_padding = false;
  prepared_.step.activation = Activation::kNone;
  prepared_.step.float_out = true;
  prepared_.step.border = 0;
  prepared_.epilogue = {scale, scale + channels, nullptr, nullptr, nullptr, false};
  return true;
}

bool SumsStep::run(const StepInput& in, int32_t* sums) const {
  const Step& step = prepared_.step;
  Tensors row;
  OwnScratch scratch;
  if (!row.make_output(step, 1, true, false) || !scratch.make(step, in)) return false;
  for (int y = 0; y < step.shape.out_h; ++y) {
    run_step_row(prepared_, in, row.rows(), y, scratch.get());
    const float* dots = row.rows().values.base;
    for (size_t i = 0; i < row.rows().values.stride; ++i) {
      *sums++ = (step.shape.k_bits() - int32_t(dots[i])) / 2;
    }
  }
  return true;
}

}  // namespace bnn
