// AVX-512: the loops that do not depend on how bits are counted. Local to the file that includes
// it.
#pragma once

#include <immintrin.h>

#include "core/peak/peak.h"

namespace bnn {
namespace {

constexpr int kFloatMacs = 2 * 10 * 16;

// for i in 0..9, twice: sum zmm2<i> += zmm10 * zmm11
void run_float_macs(int64_t iterations) {
  if (iterations <= 0) return;
  __asm__ volatile(
      ".irp i, 10, 11, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29\n"
      "vpxord %%zmm\\i, %%zmm\\i, %%zmm\\i\n"
      ".endr\n"
      ".p2align 6\n"
      "1:\n"
      ".rept 2\n"
      ".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n"
      "vfmadd231ps %%zmm10, %%zmm11, %%zmm2\\i\n"
      ".endr\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      : "+r"(iterations)
      :
      : "cc", "zmm10", "zmm11", "zmm20", "zmm21", "zmm22", "zmm23", "zmm24", "zmm25", "zmm26",
        "zmm27", "zmm28", "zmm29");
}

void copy(const char* from, char* to, size_t bytes) {
  for (size_t i = 0; i + 256 <= bytes; i += 256) {
    __m512i line[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) line[j] = _mm512_load_si512(from + i + 64 * j);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) _mm512_store_si512(to + i + 64 * j, line[j]);
    __asm__ volatile("" : : : "memory");  // stays a loop, does not become memcpy
  }
}

}  // namespace
}  // namespace bnn
