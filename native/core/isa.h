// Instruction sets: which this binary holds kernels for, which this CPU (and its operating system)
// can run.
#pragma once

#include <cstddef>

namespace bnn {

// Best last. The scalar kernels run everywhere and are the reference.
enum class Isa : int { kScalar = 0, kNeon = 1, kAvx2 = 2, kAvx512 = 3 };

// "scalar", "neon", "avx2", "avx512" (F, BW, DQ, VL, VPOPCNTDQ and BITALG).
const char* isa_name(Isa isa);

// False for an unknown name; otherwise *isa is set.
bool isa_from_name(const char* name, Isa* isa);

// Whether this CPU and operating system can run it (__builtin_cpu_supports; NEON is baseline on
// AArch64).
bool isa_supported(Isa isa);

// The best supported one.
Isa best_isa();

}  // namespace bnn
