// The choice of the ISA; the rows themselves are in rows.h.
#include "core/epilogue/epilogue.h"

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
    case Isa::kAvx512:
      return epilogue_avx512;
#elif defined(__aarch64__)
    case Isa::kNeon:
      return epilogue_neon;
#endif
    default:
      return epilogue_scalar;
  }
}

void zero_words(uint64_t* words, size_t count) {
  for (size_t i = 0; i < count; ++i) words[i] = 0;
}

}  // namespace

void epilogue_row(Isa isa, const ConvShape& shape, Shortcut shortcut,
                  const EpilogueConstants& constants, const int32_t* acc,
                  const float* shortcut_values, int y, const EpilogueOutput& out) {
  rows_of(isa).binary(shape, shortcut, constants, acc, shortcut_values, y, out);
}

void float_epilogue_row(Isa isa, const ConvShape& shape, const EpilogueConstants& constants,
                        const float* row, int y, const EpilogueOutput& out) {
  rows_of(isa).real(shape, constants, row, y, out);
}

void threshold_row(Isa isa, const ConvShape& shape, const int32_t* threshold, const int32_t* acc,
                   int y, uint64_t* bits, int border) {
  rows_of(isa).threshold(shape, threshold, acc, y, bits, border);
}

void zero_border(uint64_t* bits, int height, int width, int words, int border) {
  const size_t edge = size_t(border) * words;
  const size_t row = size_t(width + 2 * border) * words;
  zero_words(bits, row * border);
  for (uint64_t* at = bits + row * border; height > 0; --height, at += row) {
    zero_words(at, edge);
    zero_words(at + row - edge, edge);
    if (height == 1) zero_words(at + row, row * border);
  }
}

}  // namespace bnn
