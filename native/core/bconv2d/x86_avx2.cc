// AVX2 has no popcount: dense layers and groups look nibbles up in the table of x86_table.h, every
// other shape counts the bits of x = a ^ w by nibble (Mula, Kurz, Lemire 2016).
#include <immintrin.h>

#include "core/bconv2d/broadcast.h"
#include "core/bconv2d/fused_kernel.h"
#include "core/bconv2d/x86_table.h"
#include "core/simd/avx2.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_avx2_table_4x2;
extern const Bconv2dKernel bconv2d_avx2_table_8x1;
extern const Bconv2dKernel bconv2d_avx2_table_2x4;
extern const Bconv2dKernel bconv2d_avx2_generic;

namespace {

struct Avx2Table {
  using Bytes = __m256i;
  using Floats = Avx2;
  static constexpr int kBytes = 32;
  static constexpr int kRegisters = 16;

  static Bytes zero() { return _mm256_setzero_si256(); }
  static Bytes row(const uint8_t* p) {
    return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Bytes load(const uint8_t* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Bytes lookup(Bytes row, Bytes at) { return _mm256_shuffle_epi8(row, at); }
  static Bytes add(Bytes a, Bytes b) { return _mm256_add_epi8(a, b); }
  static Bytes high_nibbles(Bytes x) {
    return _mm256_and_si256(_mm256_srli_epi16(x, 4), _mm256_set1_epi8(15));
  }
  static Bytes pin(Bytes x) {
    asm("" : "+x"(x));
    return x;
  }
  static Bytes first_of(Bytes all, Bytes second) {
    const __m256i times16 =
        _mm256_and_si256(_mm256_slli_epi16(second, 4), _mm256_set1_epi8(char(0xf0)));
    return _mm256_sub_epi8(all, times16);
  }
  // Sums of 16 bits as VPUNPCK leaves them: channels 0-7, 16-23 | 8-15, 24-31.
  static Bytes widen_low(Bytes x) { return _mm256_unpacklo_epi8(x, zero()); }
  static Bytes widen_high(Bytes x) { return _mm256_unpackhi_epi8(x, zero()); }
  static Bytes add_wide(Bytes a, Bytes b) { return _mm256_add_epi16(a, b); }
  static __m256i part(const Bytes* sums, int j) {
    const __m128i* at = reinterpret_cast<const __m128i*>(sums + j % 2);
    return _mm256_cvtepu16_epi32(_mm_load_si128(at + j / 2));
  }
};

// The V of a ThresholdSink that compares the 32 sums of 16 bits of Avx2Table.
struct Avx2Compare {
  struct I {
    __m256i low, high;
  };
  static constexpr int kLanes = 32;

  // Thresholds past 16 bits saturate; the sums never pass 32767.
  static __m256i narrow(const int32_t* p) {
    const __m256i* at = reinterpret_cast<const __m256i*>(p);
    const __m256i mixed = _mm256_packs_epi32(_mm256_loadu_si256(at), _mm256_loadu_si256(at + 2));
    return _mm256_permute4x64_epi64(mixed, 0xd8);
  }
  static I load_int(const int32_t* p, int) { return {narrow(p), narrow(p + 8)}; }
  static uint32_t greater_int(I a, I b) {
    return uint32_t(_mm256_movemask_epi8(
        _mm256_packs_epi16(_mm256_cmpgt_epi16(a.low, b.low), _mm256_cmpgt_epi16(a.high, b.high))));
  }
  static void store_bits(char* byte, int, uint32_t bits) { std::memcpy(byte, &bits, sizeof bits); }
};

struct Avx2Words {  // 4 output channels
  using Word = uint64_t;
  using Words = __m256i;
  using Sum = __m256i;
  using Floats = Avx2;
  static constexpr int kLanes = 4;
  static constexpr int kJoin = 2;

  static Words load(const Word* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Words broadcast(const char* p) {
    int64_t word;
    std::memcpy(&word, p, sizeof word);
    return _mm256_set1_epi64x(word);
  }
  static Words differ(Words a, Words w) { return _mm256_xor_si256(a, w); }
  static Words differ_masked(Words a, Words m, Words w) {
    return _mm256_xor_si256(_mm256_and_si256(a, m), w);
  }
  static Sum zero() { return _mm256_setzero_si256(); }
  static Sum count(Sum sum, Words x) {
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_shuffle_epi8(counts, _mm256_and_si256(x, nibble));
    const __m256i high =
        _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble));
    return _mm256_add_epi64(sum, _mm256_sad_epu8(_mm256_add_epi8(low, high), zero()));
  }
  static __m256i join(const Sum* sum) {
    const __m256 mixed = _mm256_shuffle_ps(_mm256_castsi256_ps(sum[0]), _mm256_castsi256_ps(sum[1]),
                                           _MM_SHUFFLE(2, 0, 2, 0));
    return _mm256_permute4x64_epi64(_mm256_castps_si256(mixed), 0xd8);
  }
};

// More pixels share a load of the filters, more vectors a row of the table.
template <int kPairs, int kVectors>
constexpr Bconv2dKernel table(const char* name) {
  using Kernel = NibbleTable<Avx2Table, kPairs, kVectors>;
  return fused_kernel<Kernel, Avx2, Avx2Compare>(name, "table", Isa::kAvx2);
}

using Generic = Broadcast<Avx2Words, true, 2, 2>;

}  // namespace

const Bconv2dKernel bconv2d_avx2_table_4x2 = table<2, 2>("bconv2d_avx2_table_4x2");
const Bconv2dKernel bconv2d_avx2_table_8x1 = table<4, 1>("bconv2d_avx2_table_8x1");
const Bconv2dKernel bconv2d_avx2_table_2x4 = table<1, 4>("bconv2d_avx2_table_2x4");
const Bconv2dKernel bconv2d_avx2_generic =
    fused_kernel<Generic, Avx2>("bconv2d_avx2_generic", "generic", Isa::kAvx2);

}  // namespace bnn
