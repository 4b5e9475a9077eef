// AVX-512BW without VPOPCNTDQ: as x86_avx2.cc, in 64 lanes. 9 instructions for 1536 MACs.
#include "core/peak/x86_avx512_loops.h"

namespace bnn {

extern const PeakLoops peak_avx512bw;

namespace {

// Twice, for i in 0..3: zmm8 = 3 times zmm14 [nibbles zmm15], added; sum zmm<i> += zmm8;
// sum zmm1<i> += zmm8 >> 4
void run_macs(int64_t iterations) {
  if (iterations <= 0) return;
  __asm__ volatile(
      "vpxord %%zmm14, %%zmm14, %%zmm14\n"
      "vpxord %%zmm15, %%zmm15, %%zmm15\n"
      ".p2align 6\n"
      "1:\n"
      ".rept 2\n"
      ".irp i, 0, 1, 2, 3\n"
      "vpshufb %%zmm15, %%zmm14, %%zmm8\n"
      "vpshufb %%zmm15, %%zmm14, %%zmm9\n"
      "vpaddb %%zmm8, %%zmm9, %%zmm8\n"
      "vpshufb %%zmm15, %%zmm14, %%zmm9\n"
      "vpaddb %%zmm8, %%zmm9, %%zmm8\n"
      "vpaddb %%zmm8, %%zmm\\i, %%zmm\\i\n"
      "vpsrlw $4, %%zmm8, %%zmm8\n"
      "vpandd %%zmm15, %%zmm8, %%zmm8\n"
      "vpaddb %%zmm8, %%zmm1\\i, %%zmm1\\i\n"
      ".endr\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      : "+r"(iterations)
      :
      : "cc", "zmm0", "zmm1", "zmm2", "zmm3", "zmm8", "zmm9", "zmm10", "zmm11", "zmm12", "zmm13",
        "zmm14", "zmm15");
}

}  // namespace

const PeakLoops peak_avx512bw = {
    "vpshufb vpaddb vpsrlw vpand",
    Isa::kAvx512bw,
    2 * 4 * 1536,
    run_macs,
    kFloatMacs,
    run_float_macs,
    copy,
};

}  // namespace bnn
