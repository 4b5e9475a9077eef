// The choice of the ISA for whole rows.
#include "core/epilogue/epilogue.h"

#include <algorithm>

#include "core/epilogue/rows.h"

namespace bnn {

extern const EpilogueRows epilogue_scalar;
#if defined(__x86_64__)
extern const EpilogueRows epilogue_avx2;
extern const EpilogueRows epilogue_avx512;
#elif defined(__aarch64__)
extern const EpilogueRows epilogue_neon;
#endif

namespace {

const EpilogueRows& rows_of(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx2:
      return epilogue_avx2;
    case Isa::kAvx512bw:
    case Isa::kAvx512:
      return epilogue_avx512;
#elif defined(__aarch64__)
    case Isa::kNeon:
    case Isa::kNeonDot:
      return epilogue_neon;
#endif
    default:
      return epilogue_scalar;
  }
}

}  // namespace

void avgpool_row(Isa isa, const ConvShape& shape, const float* upper, const float* lower,
                 float* pooled) {
  rows_of(isa).avgpool(shape, upper, lower, pooled);
}

void activated_row(Isa isa, const ConvShape& shape, const float* dots, const Bounds& bounds,
                   const EpilogueConstants& constants, const ShortcutRow& shortcut,
                   const RowOutput& out) {
  rows_of(isa).activated(shape, dots, bounds, constants, shortcut, out);
}

void repeat_row(const ConvShape& shape, int channels, const float* values, float* repeated) {
  for (int x = 0; x < shape.out_w; ++x, values += channels) {
    for (int c = 0; c < shape.out_c; c += channels) {
      repeated = std::copy_n(values, channels, repeated);
    }
  }
}

}  // namespace bnn
