// Floats to bits for any vector V of floats (kernels.h).
#pragma once

#include "core/epilogue/sink.h"

namespace bnn {
namespace {

// A row of values [out_w, out_c] through the end of an epilogue: copied, if there are to be values,
// and compared with the thresholds.
template <class V>
void pack_row_with(const ConvShape& shape, const float* in, const EpilogueConstants& constants,
                   const RowOutput& out) {
  const FloatSink<V, EpilogueKind::kAny> sink(
      shape, {nullptr, nullptr, nullptr, nullptr, constants.threshold, false}, {}, out);
  for (int c = 0; c < shape.out_c; c += V::kLanes) {
    const auto cursor = sink.at(c, 0);
    const float* pixel = in + c;
    for (int x = 0; x < shape.out_w; ++x, pixel += shape.out_c) {
      sink.put_value(cursor, x, V::load(pixel, cursor.n));
    }
  }
}

}  // namespace
}  // namespace bnn
