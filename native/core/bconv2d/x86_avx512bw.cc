// AVX-512 without VPOPCNTDQ: the nibble table of x86_table.h for 64 filters at once.
#include <immintrin.h>

#include "core/bconv2d/fused_kernel.h"
#include "core/bconv2d/x86_table.h"
#include "core/simd/avx512.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_avx512bw_table_8x1;
extern const Bconv2dKernel bconv2d_avx512bw_table_8x2;

namespace {

struct Avx512Table {
  using Bytes = __m512i;
  using Floats = Avx512;
  static constexpr int kBytes = 64;
  static constexpr int kRegisters = 32;

  static Bytes zero() { return _mm512_setzero_si512(); }
  static Bytes row(const uint8_t* p) {
    return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Bytes load(const uint8_t* p) { return _mm512_load_si512(p); }
  static Bytes lookup(Bytes row, Bytes at) { return _mm512_shuffle_epi8(row, at); }
  static Bytes add(Bytes a, Bytes b) { return _mm512_add_epi8(a, b); }
  static Bytes high_nibbles(Bytes x) {
    return _mm512_and_si512(_mm512_srli_epi16(x, 4), _mm512_set1_epi8(15));
  }
  static Bytes pin(Bytes x) {
    asm("" : "+v"(x));
    return x;
  }
  static Bytes first_of(Bytes all, Bytes second) {
    const Bytes times16 =
        _mm512_and_si512(_mm512_slli_epi16(second, 4), _mm512_set1_epi8(char(0xf0)));
    return _mm512_sub_epi8(all, times16);
  }
  // Sums of 16 bits in the order of the channels.
  static Bytes widen_low(Bytes x) { return _mm512_cvtepu8_epi16(_mm512_castsi512_si256(x)); }
  static Bytes widen_high(Bytes x) { return _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(x, 1)); }
  static Bytes add_wide(Bytes a, Bytes b) { return _mm512_add_epi16(a, b); }
  static __m512i part(const Bytes* sums, int j) {
    return _mm512_cvtepu16_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(sums) + j));
  }
};

// The V of a ThresholdSink that compares the 64 sums of 16 bits of Avx512Table.
struct Avx512Compare {
  struct I {
    __m512i low, high;
  };
  static constexpr int kLanes = 64;

  // Thresholds past 16 bits saturate; the sums never pass 32767.
  static __m512i narrow(const int32_t* p) {
    const __m256i low = _mm512_cvtsepi32_epi16(_mm512_loadu_si512(p));
    const __m256i high = _mm512_cvtsepi32_epi16(_mm512_loadu_si512(p + 16));
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  }
  static I load_int(const int32_t* p, int) { return {narrow(p), narrow(p + 32)}; }
  static uint64_t greater_int(I a, I b) {
    return _mm512_cmpgt_epi16_mask(a.low, b.low) | uint64_t(_mm512_cmpgt_epi16_mask(a.high, b.high))
                                                       << 32;
  }
  static void store_bits(char* byte, int, uint64_t bits) { std::memcpy(byte, &bits, sizeof bits); }
};

// More pixels share a load of the filters, more vectors a row of the table.
template <int kPairs, int kVectors>
constexpr Bconv2dKernel table(const char* name) {
  using Kernel = NibbleTable<Avx512Table, kPairs, kVectors>;
  return fused_kernel<Kernel, Avx512, Avx512Compare>(name, "table", Isa::kAvx512bw);
}

}  // namespace

const Bconv2dKernel bconv2d_avx512bw_table_8x1 = table<4, 1>("bconv2d_avx512bw_table_8x1");
const Bconv2dKernel bconv2d_avx512bw_table_8x2 = table<4, 2>("bconv2d_avx512bw_table_8x2");

}  // namespace bnn
