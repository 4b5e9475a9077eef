#include "core/peak/peak.h"

namespace bnn {

#if defined(__x86_64__)
extern const PeakLoops peak_avx512;
extern const PeakLoops peak_avx512bw;
extern const PeakLoops peak_avx2;
#elif defined(__aarch64__)
extern const PeakLoops peak_neon;
#endif

const PeakLoops* peak_loops(Isa isa) {
  static const PeakLoops* const kBestFirst[] = {
#if defined(__x86_64__)
      &peak_avx512,
      &peak_avx512bw,
      &peak_avx2,
#elif defined(__aarch64__)
      &peak_neon,
#endif
  };
  for (const PeakLoops* loops : kBestFirst) {
    if (isa_includes(isa, loops->isa)) return loops;
  }
  return nullptr;
}

void run_dependent_adds(int64_t iterations) {
  uint64_t sum = 0, term = uint64_t(iterations);
  for (int64_t i = 0; i < iterations; ++i) {
    static_assert(kAddsPerIteration == 64, "");
#if defined(__x86_64__)
    __asm__ volatile(".rept 64\n add %1, %0\n .endr" : "+r"(sum) : "r"(term) : "cc");
#elif defined(__aarch64__)
    __asm__ volatile(".rept 64\n add %0, %0, %1\n .endr" : "+r"(sum) : "r"(term));
#endif
  }
}

}  // namespace bnn
