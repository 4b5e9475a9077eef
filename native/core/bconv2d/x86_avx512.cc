// AVX-512 with VPOPCNTDQ and BITALG: popcounts of 8, 16 and 64-bit lanes are one instruction.
#include <immintrin.h>

#include "core/bconv2d/broadcast.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_avx512_dense;
extern const Bconv2dKernel bconv2d_avx512_generic;

namespace {

struct Avx512Words {  // 8 output channels
  using Words = __m512i;
  using Sum = __m512i;
  static constexpr int kLanes = 8;
  static constexpr int kMaxAccumulators = 16;

  static Words load(const uint64_t* p) { return _mm512_load_si512(p); }
  static Words broadcast(uint64_t word) { return _mm512_set1_epi64(int64_t(word)); }
  static Words differ(Words a, Words w) { return _mm512_xor_si512(a, w); }
  static Words differ_masked(Words a, Words m, Words w) {
    return _mm512_ternarylogic_epi64(a, m, w, 0x6a);  // (a & m) ^ w
  }
  static Sum zero() { return _mm512_setzero_si512(); }
  static Sum count(Sum sum, Words x) { return _mm512_add_epi64(sum, _mm512_popcnt_epi64(x)); }
  static void store(int32_t* p, Sum sum, int n) {
    const __m256i sum_i32x8 = _mm512_cvtepi64_epi32(sum);
    if (n >= kLanes) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), sum_i32x8);
    } else if (n > 0) {
      _mm256_mask_storeu_epi32(p, __mmask8((1u << n) - 1), sum_i32x8);
    }
  }
};

// Dense layers, and groups of whole words; two vectors of filters share a broadcast if there are as many.
using Dense1 = Broadcast<Avx512Words, false, 1>;
using Dense2 = Broadcast<Avx512Words, false, 2>;
using Generic = Broadcast<Avx512Words, true, 2>;

bool two_vectors(const ConvShape& shape) { return shape.out_c_per_group() > Avx512Words::kLanes; }

bool dense_supports(const ConvShape& shape) {
  return shape.groups == 1 || shape.in_c_per_group() % 64 == 0;
}
size_t dense_bytes(const ConvShape& shape) {
  return two_vectors(shape) ? Dense2::prepared_bytes(shape) : Dense1::prepared_bytes(shape);
}
void dense_prepare(const ConvShape& shape, const uint64_t* weights, void* prepared) {
  (two_vectors(shape) ? Dense2::prepare : Dense1::prepare)(shape, weights, prepared);
}
void dense_row(const ConvShape& shape, const uint64_t* input, const void* prepared, int y,
               int32_t* acc) {
  (two_vectors(shape) ? Dense2::run_row : Dense1::run_row)(shape, input, prepared, y, acc);
}

bool generic_supports(const ConvShape&) { return true; }

}  // namespace

const Bconv2dKernel bconv2d_avx512_dense = {"bconv2d_avx512_dense", Isa::kAvx512, dense_supports,
                                            dense_bytes, dense_prepare, dense_row};
const Bconv2dKernel bconv2d_avx512_generic = {"bconv2d_avx512_generic", Isa::kAvx512,
                                              generic_supports,         Generic::prepared_bytes,
                                              Generic::prepare,         Generic::run_row};

}  // namespace bnn
