// AVX-512 with VPOPCNTDQ: the V of broadcast.h, local to the file that includes it.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "core/simd/avx512.h"

namespace bnn {
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

}  // namespace
}  // namespace bnn
