// Instruction sets: which this binary holds kernels for, which this CPU (and its operating system)
// can run.
#pragma once

#include <cstddef>

namespace bnn {

// Best last. The scalar kernels run everywhere and are the reference.
enum class Isa : int {
  kScalar = 0,
  kNeon = 1,
  kNeonDot = 2,  // with UDOT: Cortex-A55, A75, A76 and later
  kAvx2 = 3,
  kAvx512bw = 4,  // F, BW, DQ, VL: Skylake-X, Cascade Lake
  kAvx512 = 5,    // and VPOPCNTDQ, BITALG: Ice Lake, Zen 4 and later
};

constexpr Isa kIsas[] = {Isa::kScalar, Isa::kNeon,     Isa::kNeonDot,
                         Isa::kAvx2,   Isa::kAvx512bw, Isa::kAvx512};

// "scalar", "neon", "neon_dot", "avx2", "avx512bw", "avx512".
const char* isa_name(Isa isa);

// False for an unknown name; otherwise *isa is set.
bool isa_from_name(const char* name, Isa* isa);

// Whether this CPU and operating system can run it (__builtin_cpu_supports; NEON is baseline on
// AArch64, UDOT is announced by getauxval).
bool isa_supported(Isa isa);

// Whether a CPU with `isa` runs code for `part` too: every ISA includes itself and scalar.
bool isa_includes(Isa isa, Isa part);

// The best supported one.
Isa best_isa();

}  // namespace bnn
