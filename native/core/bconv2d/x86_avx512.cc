// AVX-512 with VPOPCNTDQ: an output channel for each of the 16 lanes of 32 bits.
#include "core/bconv2d/broadcast.h"
#include "core/bconv2d/fused_kernel.h"
#include "core/bconv2d/x86_avx512_words.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_avx512_dense_7x2;
extern const Bconv2dKernel bconv2d_avx512_dense_8x2;
extern const Bconv2dKernel bconv2d_avx512_dense_4x4;
extern const Bconv2dKernel bconv2d_avx512_generic;

namespace {

// kPixels x kVectors accumulators: more pixels share a load of the filters, more vectors a
// broadcast of the input.
template <int kPixels, int kVectors>
constexpr Bconv2dKernel dense(const char* name) {
  using Kernel = Broadcast<Avx512Words, false, kPixels, kVectors>;
  return fused_kernel<Kernel, Avx512>(name, "dense", Isa::kAvx512);
}

using Generic = Broadcast<Avx512Words, true, 8, 1>;

}  // namespace

const Bconv2dKernel bconv2d_avx512_dense_7x2 = dense<7, 2>("bconv2d_avx512_dense_7x2");
const Bconv2dKernel bconv2d_avx512_dense_8x2 = dense<8, 2>("bconv2d_avx512_dense_8x2");
const Bconv2dKernel bconv2d_avx512_dense_4x4 = dense<4, 4>("bconv2d_avx512_dense_4x4");
const Bconv2dKernel bconv2d_avx512_generic =
    fused_kernel<Generic, Avx512>("bconv2d_avx512_generic", "generic", Isa::kAvx512);

}  // namespace bnn
