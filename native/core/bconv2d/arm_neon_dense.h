// Dense layers on NEON: CNT counts bytes, and two words of one filter fill a vector.
//
//   for each block of 4 filters, for each tile of kPixels output pixels:
//     for each pair of words i of a run of the window:
//       for each pixel p, for each filter f:
//         sum[p][f] += cnt(input[p][i, i+1] ^ filters[i, i+1][f])      per byte
//     acc[p, f] = sum of the lanes of sum[p][f], four filters at once by pairwise additions
//
// The byte sums are widened before they overflow.
// No broadcast is needed; 16 independent accumulators hide the latency of the additions. A run of
// an odd number of words ends with half a vector. Included by arm_neon.cc alone.
//
// prepared: [group][block][run of words, padded to an even number][4 filters][2 words] uint64
#pragma once

#include <arm_neon.h>

#include "core/bconv2d/bconv2d.h"

namespace bnn {
namespace {

struct NeonDense {
  static constexpr int kBlock = 4;
  static constexpr int kMaxPixels = 4;
  static constexpr int kFlush = 31;  // vectors until a byte sum, 8 for each, might pass 255

  // A run is what is contiguous in the input: a whole tap row if there are no groups, otherwise a
  // tap.
  struct Cut {
    int words, pixel_words, runs, run_words, pairs, blocks;
    explicit Cut(const ConvShape& s)
        : words(words_of(s.in_c_per_group())),
          pixel_words(words_of(s.in_c)),
          runs(words == pixel_words ? 1 : s.kernel),
          run_words(words == pixel_words ? s.kernel * words : words),
          pairs((run_words + 1) / 2),
          blocks((s.out_c_per_group() + kBlock - 1) / kBlock) {}
    size_t block_words(const ConvShape& s) const {
      return size_t(s.kernel) * runs * pairs * kBlock * 2;
    }
  };

  // A 16-bit lane holds an eighth of the sum.
  static bool supports(const ConvShape& s) {
    return (s.groups == 1 || s.in_c_per_group() % 64 == 0) && s.k_bits() / 8 <= 65535 - 16 * kFlush;
  }

  static size_t prepared_bytes(const ConvShape& shape) {
    const Cut cut(shape);
    return size_t(shape.groups) * cut.blocks * cut.block_words(shape) * sizeof(uint64_t);
  }

  static void prepare(const ConvShape& shape, const uint64_t* weights, void* prepared) {
    const Cut cut(shape);
    uint64_t* out = static_cast<uint64_t*>(prepared);
    for (size_t i = 0; i < prepared_bytes(shape) / sizeof(uint64_t); ++i) out[i] = 0;
    const size_t filter_words = size_t(shape.kernel) * shape.kernel * cut.words;
    for (int o = 0; o < shape.out_c; ++o, weights += filter_words) {
      const int group = o / shape.out_c_per_group(), in_group = o % shape.out_c_per_group();
      const size_t block = size_t(group) * cut.blocks + in_group / kBlock;
      uint64_t* at = out + block * cut.block_words(shape) + in_group % kBlock * 2;
      for (size_t i = 0; i < filter_words; ++i) {
        const size_t run = i / cut.run_words, word = i % cut.run_words;
        at[((run * cut.pairs + word / 2) * kBlock) * 2 + word % 2] = weights[i];
      }
    }
  }

  struct Window {
    size_t row_words;
    int rows, pixel_step;  // tap rows; words from one output pixel to the next
  };

  template <int kPixels>
  static void widen(uint8x16_t (*sum)[kBlock], uint16x8_t (*wide)[kBlock]) {
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 4
      for (int f = 0; f < kBlock; ++f) {
        wide[p][f] = vpadalq_u8(wide[p][f], sum[p][f]);
        sum[p][f] = vdupq_n_u8(0);
      }
    }
  }

  template <int kPixels>
  static void step(const uint8x16_t* a, const uint64_t* filters, uint8x16_t (*sum)[kBlock]) {
#pragma GCC unroll 4
    for (int f = 0; f < kBlock; ++f) {
      const uint8x16_t w = vreinterpretq_u8_u64(vld1q_u64(filters + 2 * f));
#pragma GCC unroll 4
      for (int p = 0; p < kPixels; ++p) {
        sum[p][f] = vaddq_u8(sum[p][f], vcntq_u8(veorq_u8(a[p], w)));
      }
    }
  }

  template <int kPixels>
  static void tile(const Window& window, const Cut& cut, const uint64_t* filters,
                   const uint64_t* input, int outputs, int32_t* acc, int out_c) {
    uint8x16_t sum[kPixels][kBlock], a[kPixels];
    uint16x8_t wide[kPixels][kBlock];
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 4
      for (int f = 0; f < kBlock; ++f) {
        sum[p][f] = vdupq_n_u8(0);
        wide[p][f] = vdupq_n_u16(0);
      }
    }
    int room = kFlush;
    for (int ky = 0; ky < window.rows; ++ky, input += window.row_words) {
      for (int kx = 0; kx < cut.runs; ++kx) {
        const uint64_t* run = input + size_t(kx) * cut.pixel_words;
        for (int left = cut.run_words / 2; left > 0;) {
          const int n = left < room ? left : room;
          for (int i = 0; i < n; ++i, run += 2, filters += 2 * kBlock) {
#pragma GCC unroll 4
            for (int p = 0; p < kPixels; ++p) {
              a[p] = vreinterpretq_u8_u64(vld1q_u64(run + size_t(p) * window.pixel_step));
            }
            step<kPixels>(a, filters, sum);
          }
          left -= n, room -= n;
          if (room > 0) continue;
          room = kFlush;
          widen<kPixels>(sum, wide);
        }
        if (cut.run_words % 2 == 0) continue;
#pragma GCC unroll 4
        for (int p = 0; p < kPixels; ++p) {
          const uint64x1_t last = vld1_u64(run + size_t(p) * window.pixel_step);
          a[p] = vreinterpretq_u8_u64(vcombine_u64(last, vdup_n_u64(0)));
        }
        step<kPixels>(a, filters, sum);
        filters += 2 * kBlock;
        if (--room > 0) continue;
        room = kFlush;
        widen<kPixels>(sum, wide);
      }
    }
    widen<kPixels>(sum, wide);
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p, acc += out_c) {
      uint32x4_t total[kBlock];
#pragma GCC unroll 4
      for (int f = 0; f < kBlock; ++f) total[f] = vpaddlq_u16(wide[p][f]);
      const uint32x4_t low = vpaddq_u32(total[0], total[1]), high = vpaddq_u32(total[2], total[3]);
      const int32x4_t sums = vreinterpretq_s32_u32(vpaddq_u32(low, high));
      if (outputs >= kBlock) {
        vst1q_s32(acc, sums);
      } else {
        int32_t lanes[kBlock];
        vst1q_s32(lanes, sums);
        for (int f = 0; f < outputs; ++f) acc[f] = lanes[f];
      }
    }
  }

  static void run_row(const ConvShape& shape, const uint64_t* input, const void* prepared, int y,
                      int32_t* acc) {
    using Tile =
        void (*)(const Window&, const Cut&, const uint64_t*, const uint64_t*, int, int32_t*, int);
    static constexpr Tile kTiles[] = {nullptr, tile<1>, tile<2>, tile<3>, tile<4>};
    const Cut cut(shape);
    const Window window = {size_t(shape.padded_w()) * cut.pixel_words, shape.kernel,
                           shape.stride * cut.pixel_words};
    const int tiles = (shape.out_w + kMaxPixels - 1) / kMaxPixels;
    const uint64_t* filters = static_cast<const uint64_t*>(prepared);
    const uint64_t* row = input + shape.window_word(y, 0);
    for (int group = 0; group < shape.groups; ++group, row += cut.words) {
      for (int o = 0; o < shape.out_c_per_group(); o += kBlock) {
        const uint64_t* in = row;
        int32_t* out = acc + group * shape.out_c_per_group() + o;
        for (int i = 0; i < tiles; ++i) {
          const int pixels = shape.out_w / tiles + int(i < shape.out_w % tiles);
          kTiles[pixels](window, cut, filters, in, shape.out_c_per_group() - o, out, shape.out_c);
          in += size_t(pixels) * window.pixel_step;
          out += size_t(pixels) * shape.out_c;
        }
        filters += cut.block_words(shape);
      }
    }
  }
};

}  // namespace
}  // namespace bnn
