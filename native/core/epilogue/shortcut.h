// The rows of a shortcut that is neither identity nor a plain repeat, for any vector V (sink.h).
#pragma once

#include "core/epilogue/epilogue.h"

namespace bnn {

// One ISA's version of avgpool_row().
using AvgpoolRow = void (*)(const ConvShape&, const float* upper, const float* lower,
                            float* pooled);

template <class V>
void avgpool_row_with(const ConvShape& shape, const float* upper, const float* lower,
                      float* pooled) {
  const int channels = shape.in_c;
  for (int x = 0; x < shape.out_w; ++x, pooled += channels) {
    const float* a = upper + size_t(2 * x) * channels;
    const float* c = lower ? lower + size_t(2 * x) * channels : nullptr;
    const bool right = 2 * x + 1 < shape.in_w;
    for (int at = 0; at < channels; at += V::kLanes) {
      const int n = channels - at < V::kLanes ? channels - at : V::kLanes;
      typename V::F mean = V::load(a + at, n);
      if (right) mean = V::add(mean, V::load(a + channels + at, n));
      if (c) {
        typename V::F below = V::load(c + at, n);
        if (right) below = V::add(below, V::load(c + channels + at, n));
        mean = V::add(mean, below);
      }
      if (right && c) mean = V::mul(mean, V::broadcast(0.25f));
      if (right != (c != nullptr)) mean = V::mul(mean, V::broadcast(0.5f));
      V::store(pooled + at, mean, n);
    }
  }
}

}  // namespace bnn
