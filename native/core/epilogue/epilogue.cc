// The choice of the ISA for the rows of shortcut.h.
#include "core/epilogue/epilogue.h"

#include <algorithm>

#include "core/epilogue/shortcut.h"

namespace bnn {

extern const AvgpoolRow avgpool_row_scalar;
#if defined(__x86_64__)
extern const AvgpoolRow avgpool_row_avx2;
extern const AvgpoolRow avgpool_row_avx512;
#elif defined(__aarch64__)
extern const AvgpoolRow avgpool_row_neon;
#endif

void avgpool_row(Isa isa, const ConvShape& shape, const float* upper, const float* lower,
                 float* pooled) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx2:
      return avgpool_row_avx2(shape, upper, lower, pooled);
    case Isa::kAvx512bw:
    case Isa::kAvx512:
      return avgpool_row_avx512(shape, upper, lower, pooled);
#elif defined(__aarch64__)
    case Isa::kNeon:
    case Isa::kNeonDot:
      return avgpool_row_neon(shape, upper, lower, pooled);
#endif
    default:
      return avgpool_row_scalar(shape, upper, lower, pooled);
  }
}

void repeat_row(const ConvShape& shape, int channels, const float* values, float* repeated) {
  for (int x = 0; x < shape.out_w; ++x, values += channels) {
    for (int c = 0; c < shape.out_c; c += channels) {
      repeated = std::copy_n(values, channels, repeated);
    }
  }
}

}  // namespace bnn
