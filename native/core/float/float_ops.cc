// The choice of the ISA, the layout of prepared weights and the pooling; the rest is in kernels.h.
#include "core/float/float_ops.h"

#include "core/float/kernels.h"

namespace bnn {

extern const FloatKernels float_scalar;
#if defined(__x86_64__)
extern const FloatKernels float_avx2;
extern const FloatKernels float_avx512;
#elif defined(__aarch64__)
extern const FloatKernels float_neon;
#endif

namespace {

const FloatKernels& kernels_of(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx2:
      return float_avx2;
    case Isa::kAvx512bw:
    case Isa::kAvx512:
      return float_avx512;
#elif defined(__aarch64__)
    case Isa::kNeon:
    case Isa::kNeonDot:
      return float_neon;
#endif
    default:
      return float_scalar;
  }
}

}  // namespace

size_t conv2d_prepared_bytes(const ConvShape& shape) {
  return size_t(shape.out_c) * size_t(shape.k_bits()) * sizeof(float);
}

// [out_c, filter] -> [groups, filter, out_c / groups], where filter = [kernel, kernel, in_c /
// groups]
void prepare_conv2d(const ConvShape& shape, const float* weights, void* prepared) {
  const int out_c = shape.out_c_per_group();
  const size_t filter = size_t(shape.k_bits());
  float* out = static_cast<float*>(prepared);
  for (int group = 0; group < shape.groups; ++group, weights += size_t(out_c) * filter) {
    for (size_t i = 0; i < filter; ++i) {
      for (int o = 0; o < out_c; ++o) *out++ = weights[size_t(o) * filter + i];
    }
  }
}

void conv2d_row(Isa isa, const ConvShape& shape, const float* const* in, const void* prepared,
                const EpilogueConstants& constants, const RowOutput& out) {
  kernels_of(isa).conv2d_row(shape, in, static_cast<const float*>(prepared), constants, out);
}

void global_avgpool(const float* input, int height, int width, int channels, float* out) {
  const size_t pixels = size_t(height) * width;
  for (int c = 0; c < channels; ++c) out[c] = 0.0f;
  for (size_t pixel = 0; pixel < pixels; ++pixel, input += channels) {
    for (int c = 0; c < channels; ++c) out[c] += input[c];
  }
  for (int c = 0; c < channels; ++c) out[c] /= float(pixels);
}

void linear(Isa isa, const float* input, const float* weights, const float* bias, int in_c,
            int out_c, float* out) {
  kernels_of(isa).linear(input, weights, bias, in_c, out_c, out);
}

}  // namespace bnn
