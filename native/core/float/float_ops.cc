// The choice of the ISA and the layout of prepared weights; the rest is in kernels.h.
#include "core/float/float_ops.h"

#include <cstring>

#include "core/float/blocks.h"
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
  size_t weights = 0;
  for (int first = 0; first < shape.out_c;) {
    const ConvBlock block = conv_block(shape, first);
    weights += block_weights(shape, block);
    first += block.outputs;
  }
  return weights * sizeof(float);
}

void prepare_conv2d(const ConvShape& shape, const float* weights, void* prepared) {
  const int in_c = shape.in_c_per_group(), taps = shape.kernel * shape.kernel;
  float* out = static_cast<float*>(prepared);
  std::memset(out, 0, conv2d_prepared_bytes(shape));
  for (int first = 0; first < shape.out_c;) {
    const ConvBlock block = conv_block(shape, first);
    for (int lane = 0; lane < block.outputs; ++lane) {
      const int group = (block.first + lane) / shape.out_c_per_group();
      for (int tap = 0; tap < taps; ++tap) {
        const size_t row = size_t(tap) * size_t(block.span) + size_t(group * in_c - block.from);
        float* to = out + row * size_t(block.lanes) + lane;
        for (int i = 0; i < in_c; ++i, to += block.lanes) *to = *weights++;
      }
    }
    out += block_weights(shape, block);
    first += block.outputs;
  }
}

void conv2d_row(Isa isa, const ConvShape& shape, const float* const* in, const void* prepared,
                const EpilogueConstants& constants, const RowOutput& out) {
  kernels_of(isa).conv2d_row(shape, in, static_cast<const float*>(prepared), constants, out);
}

void pack_row(Isa isa, const ConvShape& shape, const float* in, const EpilogueConstants& constants,
              const RowOutput& out) {
  kernels_of(isa).pack_row(shape, in, constants, out);
}

void global_avgpool(Isa isa, const float* input, int height, int width, int channels, float* out) {
  kernels_of(isa).global_avgpool(input, height, width, channels, out);
}

void linear(Isa isa, const float* input, const float* weights, const float* bias, int in_c,
            int out_c, float* out) {
  kernels_of(isa).linear(input, weights, bias, in_c, out_c, out);
}

}  // namespace bnn
