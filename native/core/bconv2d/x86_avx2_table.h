// Dense layers on AVX2, which has no popcount: look up popcount(a ^ w) by nibbles of 4 channels.
//
//   for each block of kVectors * 32 filters, for each tile of kPixels output pixels:
//     for each nibble i of the window:
//       for each pixel p, for each vector v of the block:
//         sum[p][v] += table[input[p][i]][filters[i][v]]          per byte
//     acc[p, v] = sum[p][v], widened before a byte overflows
//   where table[a][w] = popcount(a ^ w)
//
// The nibble of the input picks one of 16 tables, VPSHUFB looks 32 filters up in it: xor and count
// of 4 channels in one instruction. Included by x86_avx2.cc alone.
//
// prepared: uint8 [group][block][byte of the window][low, high nibble][kVectors][32 filters]
#pragma once

#include <immintrin.h>

#include "core/bconv2d/bconv2d.h"

namespace bnn {
namespace {

struct NibbleTable {
  alignas(64) uint8_t row[16][32];  // 16 entries, twice: VPSHUFB looks up in each half
  constexpr NibbleTable() : row() {
    for (int a = 0; a < 16; ++a) {
      for (int w = 0; w < 32; ++w) {
        for (int x = a ^ (w % 16); x != 0; x >>= 1) row[a][w] = uint8_t(row[a][w] + x % 2);
      }
    }
  }
};
constexpr NibbleTable kNibbleTable;

template <int kVectors>
struct TableKernel {
  static constexpr int kBlock = 32 * kVectors;
  static constexpr int kByteStep = 2 * kBlock;  // bytes of the filters for one byte of input
  static constexpr int kMaxPixels = 4;
  static constexpr int kFlush = 31;  // input bytes until a sum, 8 for each, might pass 255

  static int tap_bytes(const ConvShape& s) { return (s.in_c_per_group() + 7) / 8; }
  static int blocks(const ConvShape& s) { return (s.out_c_per_group() + kBlock - 1) / kBlock; }
  static size_t block_bytes(const ConvShape& s) {
    return size_t(s.kernel) * s.kernel * tap_bytes(s) * kByteStep;
  }
  static bool supports(const ConvShape& s) {
    return (s.groups == 1 || s.in_c_per_group() % 8 == 0) && s.k_bits() <= 65535;
  }
  static size_t prepared_bytes(const ConvShape& s) { return s.groups * blocks(s) * block_bytes(s); }

  static void prepare(const ConvShape& shape, const uint64_t* weights, void* prepared) {
    uint8_t* out = static_cast<uint8_t*>(prepared);
    for (size_t i = 0; i < prepared_bytes(shape); ++i) out[i] = 0;
    const int taps = shape.kernel * shape.kernel, words = words_of(shape.in_c_per_group());
    for (int o = 0; o < shape.out_c; ++o) {
      const int group = o / shape.out_c_per_group(), in_group = o % shape.out_c_per_group();
      const size_t block = size_t(group) * blocks(shape) + in_group / kBlock;
      uint8_t* at = out + block * block_bytes(shape) + in_group % kBlock;
      for (int tap = 0; tap < taps; ++tap, weights += words) {
        for (int i = 0; i < tap_bytes(shape); ++i, at += kByteStep) {
          const unsigned byte = weights[i / 8] >> (i % 8 * 8) & 0xff;
          at[0] = uint8_t(byte & 15);
          at[kBlock] = uint8_t(byte >> 4);
        }
      }
    }
  }

  struct Window {
    size_t row_bytes;          // from one tap row to the next
    int tap_bytes, run_bytes;  // from one run to the next, and its length
    int rows, runs;
    int pixel_bytes;  // from one output pixel to the next
  };

  // 8 sums of 16 bits to int32; only the first n are stored.
  static void store8(__m128i sum_u16x8, int n, int32_t* acc) {
    const __m256i sum = _mm256_cvtepu16_epi32(sum_u16x8);
    if (n >= 8) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc), sum);
    } else if (n > 0) {
      const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
      _mm256_maskstore_epi32(acc, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane), sum);
    }
  }

  template <int kPixels>
  static void tile(const Window& window, const uint8_t* filters, const uint8_t* input, int outputs,
                   int32_t* acc, int out_c) {
    const size_t pixel_bytes = window.pixel_bytes;
    const __m256i zero = _mm256_setzero_si256();
    __m256i sum[kPixels][kVectors], wide[kPixels][kVectors][2];
#pragma GCC unroll 16
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sum[p][v] = wide[p][v][0] = wide[p][v][1] = zero;
    }
    int room = kFlush;
    for (int ky = 0; ky < window.rows; ++ky, input += window.row_bytes) {
      for (int kx = 0; kx < window.runs; ++kx) {
        const uint8_t* run = input + size_t(kx) * window.tap_bytes;
        for (int left = window.run_bytes; left > 0;) {
          const int n = left < room ? left : room;
          for (int i = 0; i < n; ++i, filters += kByteStep) {
            __m256i low[kVectors], high[kVectors];
#pragma GCC unroll 16
            for (int v = 0; v < kVectors; ++v) {
              const __m256i* at = reinterpret_cast<const __m256i*>(filters) + v;
              low[v] = _mm256_load_si256(at);
              high[v] = _mm256_load_si256(at + kVectors);
            }
#pragma GCC unroll 16
            for (int p = 0; p < kPixels; ++p) {
              const unsigned a = run[p * pixel_bytes + size_t(i)];
              const __m256i* rows = reinterpret_cast<const __m256i*>(kNibbleTable.row);
              const __m256i row_low = _mm256_load_si256(rows + (a & 15));
              const __m256i row_high = _mm256_load_si256(rows + (a >> 4));
#pragma GCC unroll 16
              for (int v = 0; v < kVectors; ++v) {
                const __m256i count_low = _mm256_shuffle_epi8(row_low, low[v]);
                const __m256i count_high = _mm256_shuffle_epi8(row_high, high[v]);
                sum[p][v] = _mm256_add_epi8(sum[p][v], _mm256_add_epi8(count_low, count_high));
              }
            }
          }
          left -= n, run += n, room -= n;
          if (room > 0) continue;
          room = kFlush;
          widen<kPixels>(sum, wide);
        }
      }
    }
    widen<kPixels>(sum, wide);
#pragma GCC unroll 16
    for (int p = 0; p < kPixels; ++p, acc += out_c) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {  // VPUNPCK left channels 0-7, 16-23 | 8-15, 24-31
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
          const int at = 32 * v + 8 * half;
          const __m256i sums = wide[p][v][half];
          store8(_mm256_castsi256_si128(sums), outputs - at, acc + at);
          store8(_mm256_extracti128_si256(sums, 1), outputs - at - 16, acc + at + 16);
        }
      }
    }
  }

  template <int kPixels>
  static void widen(__m256i (*sum)[kVectors], __m256i (*wide)[kVectors][2]) {
    const __m256i zero = _mm256_setzero_si256();
#pragma GCC unroll 16
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        wide[p][v][0] = _mm256_add_epi16(wide[p][v][0], _mm256_unpacklo_epi8(sum[p][v], zero));
        wide[p][v][1] = _mm256_add_epi16(wide[p][v][1], _mm256_unpackhi_epi8(sum[p][v], zero));
        sum[p][v] = zero;
      }
    }
  }

  static void run_row(const ConvShape& shape, const uint64_t* input, const void* prepared, int y,
                      int32_t* acc) {
    using Tile = void (*)(const Window&, const uint8_t*, const uint8_t*, int, int32_t*, int);
    static constexpr Tile kTiles[] = {nullptr, tile<1>, tile<2>, tile<3>, tile<4>};
    const int pixel_bytes = 8 * words_of(shape.in_c), in_bytes = tap_bytes(shape);
    const bool contiguous = in_bytes == pixel_bytes;
    Window window;
    window.row_bytes = size_t(shape.padded_w()) * pixel_bytes;
    window.tap_bytes = pixel_bytes;
    window.run_bytes = contiguous ? shape.kernel * in_bytes : in_bytes;
    window.rows = shape.kernel;
    window.runs = contiguous ? 1 : shape.kernel;
    window.pixel_bytes = shape.stride * pixel_bytes;
    const int tiles = (shape.out_w + kMaxPixels - 1) / kMaxPixels;
    const uint8_t* filters = static_cast<const uint8_t*>(prepared);
    const uint8_t* row = reinterpret_cast<const uint8_t*>(input + shape.window_word(y, 0));
    for (int group = 0; group < shape.groups; ++group, row += in_bytes) {
      for (int o = 0; o < shape.out_c_per_group(); o += kBlock, filters += block_bytes(shape)) {
        const uint8_t* in = row;
        int32_t* out = acc + group * shape.out_c_per_group() + o;
        for (int i = 0; i < tiles; ++i) {
          const int pixels = shape.out_w / tiles + int(i < shape.out_w % tiles);
          kTiles[pixels](window, filters, in, shape.out_c_per_group() - o, out, shape.out_c);
          in += size_t(pixels) * window.pixel_bytes;
          out += size_t(pixels) * shape.out_c;
        }
      }
    }
  }
};

}  // namespace
}  // namespace bnn
