// AVX-512 with VPOPCNTDQ: an output channel for each of the 16 lanes of 32 bits.
#include <immintrin.h>

#include "core/bconv2d/broadcast.h"
#include "core/bconv2d/fused_kernel.h"
#include "core/simd/avx512.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_avx512_dense_7x2;
extern const Bconv2dKernel bconv2d_avx512_dense_8x2;
extern const Bconv2dKernel bconv2d_avx512_dense_4x4;
extern const Bconv2dKernel bconv2d_avx512_generic;

namespace {

struct Avx512Words {  // 16 output channels
  using Word = uint32_t;
  using Words = __m512i;
  using Sum = __m512i;
  using Floats = Avx512;
  static constexpr int kLanes = 16;
  static constexpr int kJoin = 1;

  static Words load(const Word* p) { return _mm512_load_si512(p); }
  static Words broadcast(const char* p) {
    int32_t word;
    std::memcpy(&word, p, sizeof word);
    return _mm512_set1_epi32(word);
  }
  static Words differ(Words a, Words w) { return _mm512_xor_si512(a, w); }
  static Words differ_masked(Words a, Words m, Words w) {
    return _mm512_ternarylogic_epi32(a, m, w, 0x6a);  // (a & m) ^ w
  }
  static Sum count(Sum sum, Words x) { return _mm512_add_epi32(sum, _mm512_popcnt_epi32(x)); }
};

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
