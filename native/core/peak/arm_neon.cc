// NEON: xor, count, add to byte sums. 3 instructions for 128 MACs. UDOT in place of the addition is
// as many.
#include <arm_neon.h>

#include "core/peak/peak.h"

namespace bnn {

extern const PeakLoops peak_neon;

namespace {

// for i in 0..7: v<i> = popcount(v30 ^ v31); sum v2<i> += v<i>
void run_macs(int64_t iterations) {
  if (iterations <= 0) return;
  __asm__ volatile(
      "movi v30.16b, #0\n"
      "movi v31.16b, #0\n"
      ".p2align 6\n"
      "1:\n"
      ".irp i, 0, 1, 2, 3, 4, 5, 6, 7\n"
      "eor v\\i\\().16b, v30.16b, v31.16b\n"
      "cnt v\\i\\().16b, v\\i\\().16b\n"
      "add v2\\i\\().16b, v2\\i\\().16b, v\\i\\().16b\n"
      ".endr\n"
      "subs %0, %0, #1\n"
      "b.ne 1b\n"
      : "+r"(iterations)
      :
      : "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v20", "v21", "v22", "v23", "v24",
        "v25", "v26", "v27", "v30", "v31");
}

// 20 sums: v<i> += v30 * v31
void run_float_macs(int64_t iterations) {
  if (iterations <= 0) return;
  __asm__ volatile(
      ".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 30, 31\n"
      "movi v\\i\\().16b, #0\n"
      ".endr\n"
      ".p2align 6\n"
      "1:\n"
      ".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27\n"
      "fmla v\\i\\().4s, v30.4s, v31.4s\n"
      ".endr\n"
      "subs %0, %0, #1\n"
      "b.ne 1b\n"
      : "+r"(iterations)
      :
      : "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20",
        "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v30", "v31");
}

void copy(const char* from, char* to, size_t bytes) {
  for (size_t i = 0; i + 256 <= bytes; i += 256) {
    uint8x16_t line[16];
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) {
      line[j] = vld1q_u8(reinterpret_cast<const uint8_t*>(from) + i + 16 * j);
    }
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) {
      vst1q_u8(reinterpret_cast<uint8_t*>(to) + i + 16 * j, line[j]);
    }
    __asm__ volatile("" : : : "memory");  // stays a loop, does not become memcpy
  }
}

}  // namespace

const PeakLoops peak_neon = {
    "eor cnt add", Isa::kNeon, 8 * 128, run_macs, 20 * 4, run_float_macs, copy,
};

}  // namespace bnn
