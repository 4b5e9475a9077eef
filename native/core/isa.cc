#include "core/isa.h"

#include <cstring>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace bnn {
const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kNeon:
      return "neon";
    case Isa::kNeonDot:
      return "neon_dot";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512bw:
      return "avx512bw";
    case Isa::kAvx512:
      return "avx512";
  }
  return "unknown";
}

bool isa_from_name(const char* name, Isa* isa) {
  for (Isa candidate : kIsas) {
    if (std::strcmp(name, isa_name(candidate)) == 0) {
      *isa = candidate;
      return true;
    }
  }
  return false;
}

bool isa_supported(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return true;
#if defined(__aarch64__)
    case Isa::kNeon:
      return true;
    case Isa::kNeonDot:
      return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#elif defined(__x86_64__)
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::kAvx512bw:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             isa_supported(Isa::kAvx2);
    case Isa::kAvx512:
      return __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512bitalg") &&
             isa_supported(Isa::kAvx512bw);
#endif
    default:
      return false;
  }
}

bool isa_includes(Isa isa, Isa part) {
  if (part == Isa::kScalar || part == isa) return true;
  const bool arm = isa == Isa::kNeon || isa == Isa::kNeonDot;
  return int(part) < int(isa) && arm == (part == Isa::kNeon || part == Isa::kNeonDot);
}

Isa best_isa() {
  Isa best = Isa::kScalar;
  for (Isa candidate : kIsas) {
    if (isa_supported(candidate)) best = candidate;
  }
  return best;
}

}  // namespace bnn
