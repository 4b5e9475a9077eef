// Depthwise 3x3 on NEON: as depthwise.h, but where pixels have an even number of words the integer
// epilogue takes two neighbours at a time, whose windows share columns: 12 loads instead of 18 at
// stride 1. With a load for every tap the loads would take longer than the adders.
#pragma once

#include "core/bconv2d/arm_neon_bits.h"
#include "core/bconv2d/depthwise.h"

namespace bnn {
namespace {

struct NeonDepthwise : Depthwise3x3<NeonBits> {
  using Base = Depthwise3x3<NeonBits>;
  using V = NeonBits;

  struct Constants {
    Bits filter[kTaps], least[kPlanes];
  };

  // One column of words of a row, and where it goes. Distances in bytes: with words, GCC would add
  // a version of the loop for pixels of one word.
  struct Column {
    const char* rows[3];  // of the next output pixel
    char* bits;           // of the next output pixel
    size_t pixel;         // from one pixel to the next
  };

  template <int kPixels, int kStride>
  [[gnu::always_inline]] static void pass(Column* column, const Constants& constants) {
    constexpr int kColumns = (kPixels - 1) * kStride + 3;
    Bits in[3][kColumns];
#pragma GCC unroll 3
    for (int ky = 0; ky < 3; ++ky) {
#pragma GCC unroll 5
      for (int x = 0; x < kColumns; ++x) in[ky][x] = load(column->rows[ky] + x * column->pixel);
      column->rows[ky] += kPixels * kStride * column->pixel;
    }
#pragma GCC unroll 2
    for (int p = 0; p < kPixels; ++p, column->bits += column->pixel) {
      Bits plane[kPlanes];
      count(
          [&](int tap) __attribute__((always_inline)) {
            return V::differ(in[tap / 3][p * kStride + tap % 3], constants.filter[tap]);
          },
          plane);
      vst1q_u8(reinterpret_cast<uint8_t*>(column->bits), reaches(plane, constants.least));
    }
  }

  static Bits load(const char* p) { return vld1q_u8(reinterpret_cast<const uint8_t*>(p)); }

  // Never inlined: its loop is the one that scripts/mca looks for.
  template <int kStride>
  [[gnu::noinline]] static void compare(Column column, const uint64_t* prepared, int pixels) {
    Constants constants;
#pragma GCC unroll 9
    for (int i = 0; i < kTaps; ++i) constants.filter[i] = V::constant(prepared + i * V::kWords);
#pragma GCC unroll 4
    for (int i = 0; i < kPlanes; ++i) {
      constants.least[i] = V::constant(prepared + (kTaps + i) * V::kWords);
    }
    for (; pixels >= 2; pixels -= 2) pass<2, kStride>(&column, constants);
    if (pixels > 0) pass<1, kStride>(&column, constants);
  }

  static void run_threshold_row(const ConvShape& shape, const void* prepared,
                                const uint64_t* const* in, uint64_t* bits) {
    const size_t words = size_t(words_of(shape.in_c));
    if (words % 2 != 0) return Base::run_threshold_rows(shape, prepared, {in, 0, bits, 0, 1});
    const uint64_t* constants = constants_of(prepared);
    const auto compare_row = shape.stride == 1 ? compare<1> : compare<2>;
    for (size_t at = 0; at < words; at += V::kWords, constants += kColumnWords) {
      Column column;
#pragma GCC unroll 3
      for (int ky = 0; ky < 3; ++ky) {
        column.rows[ky] = reinterpret_cast<const char*>(in[ky] + at);
      }
      column.bits = reinterpret_cast<char*>(bits + at);
      column.pixel = words * sizeof(uint64_t);
      compare_row(column, constants, shape.out_w);
    }
  }

  static constexpr Bconv2dKernel kernel(const char* name, const char* method, Isa isa) {
    return {name,           method,  isa,     supports,
            prepared_bytes, prepare, run_row, threshold_rows_of<NeonDepthwise>};
  }
};

}  // namespace
}  // namespace bnn
