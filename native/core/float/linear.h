// The classifier's dot products for any vector V of floats (kernels.h).
#pragma once

namespace bnn {
namespace {

// Dot products along in_c; eight output channels share each load of the input, and their eight
// streams of weights keep the memory busy.
template <class V>
void linear_with(const float* input, const float* weights, const float* bias, int in_c, int out_c,
                 float* out) {
  constexpr int kRows = 8;
  for (int o = 0; o < out_c; o += kRows) {
    const int rows = out_c - o < kRows ? out_c - o : kRows;
    const float* row[kRows];
    typename V::F sum[kRows];
    for (int r = 0; r < kRows; ++r) {
      row[r] = weights + size_t(o + (r < rows ? r : 0)) * size_t(in_c);
      sum[r] = V::broadcast(0.0f);
    }
    int c = 0;
    for (; c + V::kLanes <= in_c; c += V::kLanes) {
      const typename V::F x = V::load(input + c, V::kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sum[r] = V::fma(V::load(row[r] + c, V::kLanes), x, sum[r]);
    }
    if (c < in_c) {
      const typename V::F x = V::load(input + c, in_c - c);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sum[r] = V::fma(V::load(row[r] + c, in_c - c), x, sum[r]);
    }
    for (int r = 0; r < rows; ++r) out[o + r] = bias[o + r] + V::sum(sum[r]);
  }
}

}  // namespace
}  // namespace bnn
