#include "engine/rehearsal.h"

#include <algorithm>

#include "engine/invent.h"
#include "engine/segments.h"

namespace bnn {

bool Rehearsal::make(const Step& step, uint64_t seed, int images) {
  const ConvShape& shape = step.shape;
  const bool whole = !step.by_rows() || reads_image(step) || step.integer_threshold();
  const RingRows ring = whole ? RingRows{shape.in_h, shape.in_h} : ring_rows(step);
  const int in_rows = step.reads_bits() ? std::max(ring.bits, ring.values) : ring.values;
  constexpr size_t kOutBytes = size_t(64) << 10;  // more than a first level holds
  const size_t row_bytes = size_t(shape.out_w) * shape.out_c * sizeof(float);
  const int long_ring = int(std::min<size_t>(kOutBytes / row_bytes + 1, size_t(shape.out_h)));
  const int out_rows = step.integer_threshold() ? shape.out_h : long_ring;
  if (!input_.make_input(step, in_rows * images) || !scratch_.make(step, input_.as_input()) ||
      !output_.make_output(step, out_rows, step.float_out, step.bits_out)) {
    return false;
  }
  input_.limit_values(ring.values * images);
  input_.invent(step, seed);
  return true;
}

}  // namespace bnn
