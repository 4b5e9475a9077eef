// The mean over all pixels for any vector V of floats (kernels.h).
#pragma once

#include <cstddef>

namespace bnn {
namespace {

// out[c] for kVectors vectors of channels, whose sums stay in registers; n channels of the last
// one.
template <class V, int kVectors>
void mean_of_pixels(const float* in, int pixels, int channels, int n, float* out) {
  typename V::F sum[kVectors];
  for (int v = 0; v < kVectors; ++v) sum[v] = V::broadcast(0.0f);
  for (int pixel = 0; pixel < pixels; ++pixel, in += channels) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const int lanes = v + 1 < kVectors ? V::kLanes : n;
      sum[v] = V::add(sum[v], V::load(in + v * V::kLanes, lanes));
    }
  }
  const typename V::F share = V::broadcast(1.0f / float(pixels));
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    V::store(out + v * V::kLanes, V::mul(sum[v], share), v + 1 < kVectors ? V::kLanes : n);
  }
}

template <class V>
void global_avgpool_with(const float* input, int height, int width, int channels, float* out) {
  constexpr int kVectors = 8, kBlock = kVectors * V::kLanes;
  const int pixels = height * width;
  int c = 0;
  for (; c + kBlock <= channels; c += kBlock) {
    mean_of_pixels<V, kVectors>(input + c, pixels, channels, V::kLanes, out + c);
  }
  for (; c < channels; c += V::kLanes) {
    const int n = channels - c < V::kLanes ? channels - c : V::kLanes;
    mean_of_pixels<V, 1>(input + c, pixels, channels, n, out + c);
  }
}

}  // namespace
}  // namespace bnn
