// The rows of a shortcut that is neither identity nor a plain repeat, for any vector V (sink.h).
#pragma once

#include "core/epilogue/epilogue.h"

namespace bnn {

// The mean of kPixels pixels of each of kRows rows, in the order of epilogue.h.
template <class V, int kPixels, int kRows>
void mean_of_window(const float* upper, const float* lower, int channels, float* pooled) {
  const auto step = [&](int c, int n) __attribute__((always_inline)) {
    typename V::F mean = V::load(upper + c, n);
    if constexpr (kPixels == 2) mean = V::add(mean, V::load(upper + channels + c, n));
    if constexpr (kRows == 2) {
      typename V::F below = V::load(lower + c, n);
      if constexpr (kPixels == 2) below = V::add(below, V::load(lower + channels + c, n));
      mean = V::add(mean, below);
    }
    if constexpr (kPixels * kRows > 1) {
      mean = V::mul(mean, V::broadcast(kPixels * kRows == 4 ? 0.25f : 0.5f));
    }
    V::store(pooled + c, mean, n);
  };
  int c = 0;
#pragma GCC unroll 4
  for (; c + V::kLanes <= channels; c += V::kLanes) step(c, V::kLanes);
  if (c < channels) step(c, channels - c);
}

template <class V>
void avgpool_row_with(const ConvShape& shape, const float* upper, const float* lower,
                      float* pooled) {
  const int channels = shape.in_c, pairs = shape.in_w / 2;
  for (int x = 0; x < pairs; ++x, upper += 2 * channels, pooled += channels) {
    if (lower) {
      mean_of_window<V, 2, 2>(upper, lower, channels, pooled);
      lower += 2 * channels;
    } else {
      mean_of_window<V, 2, 1>(upper, nullptr, channels, pooled);
    }
  }
  if (shape.in_w % 2 == 0) return;
  if (lower) {
    mean_of_window<V, 1, 2>(upper, lower, channels, pooled);
  } else {
    mean_of_window<V, 1, 1>(upper, nullptr, channels, pooled);
  }
}

}  // namespace bnn
