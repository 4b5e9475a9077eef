#include "engine/rehearsal.h"

#include <algorithm>

#include "engine/invent.h"
#include "engine/segments.h"

namespace bnn {

bool Rehearsal::make(const Step& step, uint64_t seed) {
  const ConvShape& shape = step.shape;
  const bool whole = !step.convolves() || (step.kind == StepKind::kConv2d && shape.kernel > 1);
  const RingRows ring = whole ? RingRows{shape.in_h, 1} : ring_rows(step);
  const int in_rows = step.reads_bits() ? std::max(ring.bits, ring.values) : ring.values;
  // The packed output's border is its reader's kernel / 2.
  const int out_rows = std::min(shape.out_h, 2 * step.border + 1);
  if (!input_.make_input(step, in_rows) || !scratch_.make(step) ||
      !output_.make_output(step, out_rows, step.float_out, step.bits_out)) {
    return false;
  }
  input_.limit_values(ring.values);
  output_.limit_values(std::min(shape.out_h, step.border + 1));
  input_.invent(step, seed);
  return true;
}

}  // namespace bnn
