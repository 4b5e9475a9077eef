// The epilogue behind an activation, for any vector V (sink.h).
#pragma once

#include "core/epilogue/sink.h"

namespace bnn {

template <class V>
void activated_row_with(const ConvShape& shape, const float* dots, const Bounds& bounds,
                        const EpilogueConstants& constants, const ShortcutRow& shortcut,
                        const RowOutput& out) {
  const FloatSink<V, EpilogueKind::kAny> sink(shape, constants, shortcut, out);
  const typename V::F half = V::broadcast(0.5f);
  const typename V::F least = V::broadcast(bounds.least), most = V::broadcast(bounds.most);
  for (int c = 0; c < shape.out_c; c += V::kLanes) {
    const auto cursor = sink.at(c, 0);  // its scale is doubled
    const float* pixel = dots + c;
    for (int x = 0; x < shape.out_w; ++x, pixel += shape.out_c) {
      const typename V::F dot = V::max(V::min(V::load(pixel, cursor.n), most), least);
      sink.put_value(cursor, x, V::fma(cursor.scale, V::mul(half, dot), cursor.bias));
    }
  }
}

}  // namespace bnn
