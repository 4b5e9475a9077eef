// AVX-512 with VPOPCNTDQ: xor, count, add. 3 instructions for 512 MACs.
#include "core/peak/x86_avx512_loops.h"

namespace bnn {

extern const PeakLoops peak_avx512;

namespace {

// for i in 0..9, twice: zmm<i> = popcount(zmm10 ^ zmm11); sum zmm2<i> += zmm<i>
void run_macs(int64_t iterations) {
  if (iterations <= 0) return;
  __asm__ volatile(
      "vpxord %%zmm10, %%zmm10, %%zmm10\n"
      "vpxord %%zmm11, %%zmm11, %%zmm11\n"
      ".p2align 6\n"
      "1:\n"
      ".rept 2\n"
      ".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n"
      "vpxord %%zmm10, %%zmm11, %%zmm\\i\n"
      "vpopcntd %%zmm\\i, %%zmm\\i\n"
      "vpaddd %%zmm\\i, %%zmm2\\i, %%zmm2\\i\n"
      ".endr\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      : "+r"(iterations)
      :
      : "cc", "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9",
        "zmm10", "zmm11", "zmm20", "zmm21", "zmm22", "zmm23", "zmm24", "zmm25", "zmm26", "zmm27",
        "zmm28", "zmm29");
}

}  // namespace

const PeakLoops peak_avx512 = {
    "vpxord vpopcntd vpaddd", Isa::kAvx512, 2 * 10 * 512, run_macs, kFloatMacs,
    run_float_macs,           copy,
};

}  // namespace bnn
