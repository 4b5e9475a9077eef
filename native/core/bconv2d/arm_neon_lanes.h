// Groups of 8 or 16 channels on NEON: the walk of arm_neon_tree.h with sums in bytes, and for 3x3
// layers an integer epilogue that never leaves the registers.
//
//   for each part (16 bytes) of a pixel, for each vector of pixels, two at a time:
//     for each tap, for each filter f of a group:  sum[f] += cnt(input[tap] ^ filter[tap][f])
//     bit f of each group = (sum[f] >= threshold[f] + 1)
//
// Comparisons give all ones or zeros, and SLI puts each into its bit: 16 instructions for 16 bytes
// of packed output, in the order of the channels.
//
// prepared: uint8 threshold + 1 [part][8][16] as the sums stand (255: never), then what FusedKernel
// prepares
#pragma once

#include "core/bconv2d/arm_neon_sums.h"
#include "core/bconv2d/arm_neon_tree.h"
#include "core/bconv2d/fused_kernel.h"

namespace bnn {
namespace {

template <int kChannels>
struct NeonLanes {
  using V = NeonByteSums<kChannels>;
  using Tree = NeonTree<V>;
  using Fused = FusedKernel<Tree, Neon16>;
  using Cut = typename Tree::Cut;
  static constexpr int kPartBytes = 8 * 16;

  static bool supports(const ConvShape& s) { return Tree::supports(s) && s.in_c == s.out_c; }

  static size_t least_bytes(const ConvShape& shape) {
    return size_t(Cut(shape).parts) * kPartBytes;
  }
  static size_t prepared_bytes(const ConvShape& shape) {
    return least_bytes(shape) + Fused::prepared_bytes(shape);
  }
  static const void* fused(const ConvShape& shape, const void* prepared) {
    return static_cast<const char*>(prepared) + least_bytes(shape);
  }

  static void prepare(const ConvShape& shape, const uint64_t* weights, const int32_t* threshold,
                      void* prepared) {
    const Cut cut(shape);
    uint8_t* least = static_cast<uint8_t*>(prepared);
    Fused::prepare(shape, weights, threshold, least + least_bytes(shape));
    for (int part = 0; part < cut.parts; ++part) {
      const int lanes = Tree::is_single(cut, part) ? V::kGroups / 2 : V::kGroups;
      for (int i = 0; i < 8; ++i) {
        for (int lane = 0; lane < 16; ++lane, ++least) {
          const int group = part * V::kGroups + lane % V::kGroups % lanes;
          const int o = group * kChannels + lane / V::kGroups * 8 + i;
          const bool compared = threshold && o < shape.out_c;
          *least = compared ? uint8_t(clamped_threshold(shape, threshold[o]) + 1) : 255;
        }
      }
    }
  }

  static void run_row(const ConvShape& shape, const void* prepared,
                      const EpilogueConstants& constants, const Bconv2dRow& row) {
    Fused::run_row(shape, fused(shape, prepared), constants, row);
  }

  // Where a part's vectors come from and go to.
  struct Part {
    const uint64_t* rows[3];  // of the next output pixel
    size_t words;             // of a pixel of the input
    size_t step;              // words from an output pixel to the next
    const uint64_t* filters;
    const uint8_t* least;
    uint64_t* bits;  // of the next output pixel
  };

  // kPixels vectors. kEach pixels in a vector of single words, `second` words apart; kWhole: one.
  template <int kPixels, int kEach, bool kWhole>
  [[gnu::always_inline]] static void pass(Part* part, size_t second) {
    typename V::Sum sum[kPixels];
#pragma GCC unroll 2
    for (int p = 0; p < kPixels; ++p) sum[p] = V::zero();
#pragma GCC unroll 9
    for (int tap = 0; tap < 9; ++tap) {
      uint8x16_t a[kPixels];
#pragma GCC unroll 2
      for (int p = 0; p < kPixels; ++p) {
        const uint64_t* at = part->rows[tap / 3] + tap % 3 * part->words + p * kEach * part->step;
        a[p] = kWhole ? vreinterpretq_u8_u64(vld1q_u64(at)) : Tree::halves(at, at + second);
      }
      V::template step<kPixels>(a, part->filters + tap * V::kBlock * 2, sum);
    }
#pragma GCC unroll 2
    for (int p = 0; p < kPixels; ++p) {
      const uint64x2_t bits = vreinterpretq_u64_u8(V::compare(sum[p], part->least));
      uint64_t* out = part->bits + p * kEach * part->words;
      if (kEach == 1) {
        vst1q_u64(out, bits);
      } else {
        vst1_u64(out, vget_low_u64(bits));
        if (second) vst1_u64(out + part->words, vget_high_u64(bits));
      }
    }
#pragma GCC unroll 3
    for (int ky = 0; ky < 3; ++ky) part->rows[ky] += kPixels * kEach * part->step;
    part->bits += kPixels * kEach * part->words;
  }

  // Never inlined: its loop is the one that scripts/mca looks for.
  template <int kEach, bool kWhole>
  [[gnu::noinline]] static void compare(Part part, int pixels) {
    for (; pixels >= 2 * kEach; pixels -= 2 * kEach) pass<2, kEach, kWhole>(&part, part.step);
    if (pixels >= kEach) pass<1, kEach, kWhole>(&part, part.step);
    if (pixels % kEach != 0) pass<1, kEach, false>(&part, 0);  // no second pixel
  }

  static void run_threshold_row(const ConvShape& shape, const void* prepared,
                                const uint64_t* const* in, uint64_t* bits) {
    const Cut cut(shape);
    if (shape.kernel != 3) {
      return Fused::run_threshold_row(shape, fused(shape, prepared), in, bits);
    }
    const size_t words = size_t(cut.pixel_words), step = size_t(shape.stride) * words;
    const void* filters = Fused::weights_of(shape, fused(shape, prepared));
    for (int i = 0; i < cut.parts; ++i) {
      const size_t first = size_t(i) * 2;
      const Part part = {{in[0] + first, in[1] + first, in[2] + first},
                         words,
                         step,
                         static_cast<const uint64_t*>(filters) + i * cut.block_words(),
                         static_cast<const uint8_t*>(prepared) + i * kPartBytes,
                         bits + first};
      if (!Tree::is_single(cut, i)) {
        compare<1, true>(part, shape.out_w);
      } else if (step == 1) {
        compare<2, true>(part, shape.out_w);
      } else {
        compare<2, false>(part, shape.out_w);
      }
    }
  }

  static constexpr Bconv2dKernel kernel(const char* name, const char* method, Isa isa) {
    return {name,           method,  isa,     supports,
            prepared_bytes, prepare, run_row, threshold_rows_of<NeonLanes>};
  }
};

}  // namespace
}  // namespace bnn
