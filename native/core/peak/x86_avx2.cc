// AVX2: the table of the nibbles of two pixels (VPSHUFB: xor and count of 4 channels in each of 32
// lanes, twice), three of them added, split and added to byte sums: bconv2d/x86_table.h.
// 9 instructions for 768 MACs.
#include <immintrin.h>

#include "core/peak/peak.h"

namespace bnn {

extern const PeakLoops peak_avx2;

namespace {

// Twice, for i in 0..3: ymm8 = 3 times ymm14 [nibbles ymm15], added; sum ymm<i> += ymm8;
// sum ymm1<i> += ymm8 >> 4
void run_macs(int64_t iterations) {
  if (iterations <= 0) return;
  __asm__ volatile(
      "vpxor %%ymm14, %%ymm14, %%ymm14\n"
      "vpxor %%ymm15, %%ymm15, %%ymm15\n"
      ".p2align 6\n"
      "1:\n"
      ".rept 2\n"
      ".irp i, 0, 1, 2, 3\n"
      "vpshufb %%ymm15, %%ymm14, %%ymm8\n"
      "vpshufb %%ymm15, %%ymm14, %%ymm9\n"
      "vpaddb %%ymm8, %%ymm9, %%ymm8\n"
      "vpshufb %%ymm15, %%ymm14, %%ymm9\n"
      "vpaddb %%ymm8, %%ymm9, %%ymm8\n"
      "vpaddb %%ymm8, %%ymm\\i, %%ymm\\i\n"
      "vpsrlw $4, %%ymm8, %%ymm8\n"
      "vpand %%ymm15, %%ymm8, %%ymm8\n"
      "vpaddb %%ymm8, %%ymm1\\i, %%ymm1\\i\n"
      ".endr\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      : "+r"(iterations)
      :
      : "cc", "ymm0", "ymm1", "ymm2", "ymm3", "ymm8", "ymm9", "ymm10", "ymm11", "ymm12", "ymm13",
        "ymm14", "ymm15");
}

// for i in 0..9, twice: sum ymm<i> += ymm10 * ymm11
void run_float_macs(int64_t iterations) {
  if (iterations <= 0) return;
  __asm__ volatile(
      ".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n"
      "vpxor %%ymm\\i, %%ymm\\i, %%ymm\\i\n"
      ".endr\n"
      ".p2align 6\n"
      "1:\n"
      ".rept 2\n"
      ".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n"
      "vfmadd231ps %%ymm10, %%ymm11, %%ymm\\i\n"
      ".endr\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      : "+r"(iterations)
      :
      : "cc", "ymm0", "ymm1", "ymm2", "ymm3", "ymm4", "ymm5", "ymm6", "ymm7", "ymm8", "ymm9",
        "ymm10", "ymm11");
}

void copy(const char* from, char* to, size_t bytes) {
  for (size_t i = 0; i + 256 <= bytes; i += 256) {
    __m256i line[8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      line[j] = _mm256_load_si256(reinterpret_cast<const __m256i*>(from + i) + j);
    }
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) _mm256_store_si256(reinterpret_cast<__m256i*>(to + i) + j, line[j]);
    __asm__ volatile("" : : : "memory");  // stays a loop, does not become memcpy
  }
}

}  // namespace

const PeakLoops peak_avx2 = {
    "vpshufb vpaddb vpsrlw vpand",
    Isa::kAvx2,
    2 * 4 * 768,
    run_macs,
    2 * 10 * 8,
    run_float_macs,
    copy,
};

}  // namespace bnn
