// Lane = output channel: the words of a pixel are broadcast, a block of filters stands in the
// lanes.
//
//   for each block of kVectors * V::kLanes filters, for each tile of kPixels output pixels:
//     for each word i of the window:
//       for each pixel p, for each vector v of the block:
//         sum[p][v] += popcount(broadcast(input[p][i]) ^ filters[i][v])        per lane
//     acc[p, v] = sum[p][v]
//
// No horizontal sums and no im2col: the (kx, channel) words of a window row are contiguous. Dense
// layers and groups of whole words need no mask. The masked version serves every other shape: the
// lanes of a block may belong to different groups, which share words with their neighbours
// (placement.h).
//
// prepared: [block][mask words, if masked][window words][kVectors][kLanes] uint64
//
// V offers
//   kLanes, kMaxAccumulators (that fit the registers), Words (one uint64 per lane), Sum
//   load(p) (aligned), broadcast(word), differ(a, w) = a ^ w, differ_masked(a, m, w) = (a & m) ^ w
//   zero(), count(sum, x) = sum + popcount(x), store(p, sum, n): the first n lanes, if n > 0
#pragma once

#include "core/bconv2d/bconv2d.h"
#include "core/bconv2d/placement.h"

namespace bnn {

template <class V, bool kMasked, int kVectors>
struct Broadcast {
  static constexpr int kBlock = kVectors * V::kLanes;
  static constexpr int kFit = V::kMaxAccumulators / kVectors;
  static constexpr int kMaxPixels = kFit < 8 ? kFit : 8;  // of a tile
  using Words = typename V::Words;
  using Sum = typename V::Sum;

  // How blocks cut the filters: a block without masks never leaves its group.
  struct Cut {
    int outputs_per_part, parts, blocks_per_part, span, taps;
    explicit Cut(const ConvShape& s)
        : outputs_per_part(kMasked ? s.out_c : s.out_c_per_group()),
          parts(kMasked ? 1 : s.groups),
          blocks_per_part((outputs_per_part + kBlock - 1) / kBlock),
          span(kMasked ? span_words(s, kBlock) : words_of(s.in_c_per_group())),
          taps(s.kernel * s.kernel) {}
    int first_output(int block) const {
      return block / blocks_per_part * outputs_per_part + block % blocks_per_part * kBlock;
    }
    int outputs(int block) const {
      const int left = outputs_per_part - block % blocks_per_part * kBlock;
      return left < kBlock ? left : kBlock;
    }
    int blocks() const { return parts * blocks_per_part; }
    size_t block_words() const { return size_t(kBlock) * span * (taps + int(kMasked)); }
  };

  static bool supports(const ConvShape& s) {
    return kMasked || s.groups == 1 || s.in_c_per_group() % 64 == 0;
  }

  static size_t prepared_bytes(const ConvShape& shape) {
    const Cut cut(shape);
    return cut.blocks() * cut.block_words() * sizeof(uint64_t);
  }

  static void prepare(const ConvShape& shape, const uint64_t* weights, void* prepared) {
    const Cut cut(shape);
    uint64_t* out = static_cast<uint64_t*>(prepared);
    for (size_t i = 0; i < cut.blocks() * cut.block_words(); ++i) out[i] = 0;
    for (int block = 0; block < cut.blocks(); ++block, out += cut.block_words()) {
      const int o = cut.first_output(block);
      const int first = first_word(shape, o, cut.span);
      for (int lane = 0; lane < cut.outputs(block); ++lane) {
        uint64_t* at = out + lane;
        if (kMasked) {
          place_mask(shape, o + lane, first, cut.span, kBlock, at);
          at += size_t(kBlock) * cut.span;
        }
        for (int tap = 0; tap < cut.taps; ++tap, at += size_t(kBlock) * cut.span) {
          place_filter(shape, weights, o + lane, tap, first, cut.span, kBlock, at);
        }
      }
    }
  }

  // The window rows of an output row, for one block.
  struct Window {
    const uint64_t* input;     // of output pixel 0, tap (0, 0), first word of the block
    size_t row_words;          // from one tap row to the next
    int tap_words, run_words;  // from one run of words to the next, and its length
    int rows, runs;            // tap rows; runs per tap row
    int pixel_words;           // from one output pixel to the next
  };

  template <int kPixels>
  static void tile(const Window& window, const uint64_t* block, const uint64_t* input, int outputs,
                   int32_t* acc, int out_c) {
    const uint64_t* masks = block;
    const uint64_t* filters = block + (kMasked ? size_t(kBlock) * window.run_words : 0);
    const size_t pixel_words = window.pixel_words;
    Sum sum[kPixels][kVectors];
#pragma GCC unroll 32
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 32
      for (int v = 0; v < kVectors; ++v) sum[p][v] = V::zero();
    }
    for (int ky = 0; ky < window.rows; ++ky, input += window.row_words) {
      const uint64_t* run = input;
      for (int kx = 0; kx < window.runs; ++kx, run += window.tap_words) {
        for (int i = 0; i < window.run_words; ++i, filters += kBlock) {
          Words filter[kVectors], mask[kVectors];
#pragma GCC unroll 32
          for (int v = 0; v < kVectors; ++v) {
            filter[v] = V::load(filters + v * V::kLanes);
            if (kMasked) mask[v] = V::load(masks + size_t(i) * kBlock + v * V::kLanes);
          }
#pragma GCC unroll 32
          for (int p = 0; p < kPixels; ++p) {
            const Words a = V::broadcast(run[p * pixel_words + i]);
#pragma GCC unroll 32
            for (int v = 0; v < kVectors; ++v) {
              const Words x =
                  kMasked ? V::differ_masked(a, mask[v], filter[v]) : V::differ(a, filter[v]);
              sum[p][v] = V::count(sum[p][v], x);
            }
          }
        }
      }
    }
#pragma GCC unroll 32
    for (int p = 0; p < kPixels; ++p, acc += out_c) {
#pragma GCC unroll 32
      for (int v = 0; v < kVectors; ++v) {
        V::store(acc + v * V::kLanes, sum[p][v], outputs - v * V::kLanes);
      }
    }
  }

  using Tile = void (*)(const Window&, const uint64_t*, const uint64_t*, int, int32_t*, int);

  static Tile tile_of(int pixels) {
    switch (pixels) {
      case 1:
        return tile<1>;
      case 2:
        return tile<2>;
      case 3:
        return tile<3>;
      case 4:
        return tile<4>;
    }
    if constexpr (kMaxPixels > 4) {
      switch (pixels) {
        case 5:
          return tile<5>;
        case 6:
          return tile<6>;
        case 7:
          return tile<7>;
        case 8:
          return tile<8>;
      }
    }
    return nullptr;
  }

  static void run_row(const ConvShape& shape, const uint64_t* input, const void* prepared, int y,
                      int32_t* acc) {
    const Cut cut(shape);
    const int words = words_of(shape.in_c);
    const bool contiguous = !kMasked && cut.span == words;
    Window window;
    window.row_words = size_t(shape.padded_w()) * words;
    window.tap_words = words;
    window.run_words = contiguous ? shape.kernel * words : cut.span;
    window.rows = shape.kernel;
    window.runs = contiguous ? 1 : shape.kernel;
    window.pixel_words = shape.stride * words;
    // As few tiles as possible, of nearly equal size: 9 pixels are 5 + 4, not 8 + 1.
    const int tiles = (shape.out_w + kMaxPixels - 1) / kMaxPixels;
    const int small = shape.out_w / tiles, larger = shape.out_w % tiles;
    const Tile small_tile = tile_of(small), large_tile = tile_of(larger ? small + 1 : small);
    const uint64_t* block_words = static_cast<const uint64_t*>(prepared);
    for (int block = 0; block < cut.blocks(); ++block, block_words += cut.block_words()) {
      const int o = cut.first_output(block), outputs = cut.outputs(block);
      const uint64_t* in = input + shape.window_word(y, 0) + first_word(shape, o, cut.span);
      int32_t* out = acc + o;
      for (int i = 0; i < tiles; ++i) {
        const int pixels = small + int(i < larger);
        (i < larger ? large_tile : small_tile)(window, block_words, in, outputs, out, shape.out_c);
        in += size_t(pixels) * window.pixel_words;
        out += size_t(pixels) * shape.out_c;
      }
    }
  }
};

}  // namespace bnn
