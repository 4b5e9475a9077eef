// The walk of the NEON kernels over windows: vectors of two words, blocks of filters, tiles of
// pixels.
//
//   for each block of filters, for each tile of kPixels output pixels:
//     for each vector i (two words) of the window, for each pixel p, for each filter f:
//       sum[p] += counts of input[p][i] ^ filters[i][f]        how they add up: arm_neon_sums.h
//     the sink finishes sum[p]
//
// V::kGroups > 1: groups of 128 / kGroups channels stand side by side in a vector. A pixel's last
// vector may be a single word; it then holds that word of two neighbouring pixels.
//
// Otherwise the words of a window are taken two by two along a run (what is contiguous in the
// input: a tap row of a layer without groups, or a tap). The odd words behind two runs share a
// vector.
//
// prepared: [part][block][vector of the window][V::kBlock filters][2 words] uint64, a part being
// kGroups groups and a block kBlock filters of each of them.
//
// V offers kGroups, kBlock, kMaxPixels, kMostBits (the largest k_bits), Sum, zero(),
//   step<kPixels>(a, filters, sum)   adds a vector of each pixel
//   finish(sum, out)                 kOuts registers of the sink's Sums: 8 filters each, from
//   group(i), output(i)              filter output(i) of the block in group group(i) of the part
// Included by ISA files alone.
#pragma once

#include <arm_neon.h>

#include <utility>

#include "core/bconv2d/bconv2d.h"
#include "core/bconv2d/placement.h"

namespace bnn {
namespace {

template <class V>
struct NeonTree {
  static constexpr int kBlock = V::kBlock, kGroups = V::kGroups;
  using Sum = typename V::Sum;

  struct Cut {
    int parts, blocks;    // parts of a pixel; blocks of a part
    int words;            // of a part of a pixel
    int pixel_words;      // of a pixel
    int runs, run_words;  // runs of a tap row; words of a run
    int vectors;          // of a window
    explicit Cut(const ConvShape& s)
        : parts((s.groups + kGroups - 1) / kGroups),
          blocks((s.out_c_per_group() + kBlock - 1) / kBlock),
          words(kGroups > 1 ? 2 : words_of(s.in_c_per_group())),
          pixel_words(words_of(s.in_c)),
          runs(words == pixel_words ? 1 : s.kernel),
          run_words(words == pixel_words ? s.kernel * words : words),
          vectors((s.kernel * s.kernel * words + 1) / 2) {}
    size_t block_words() const { return size_t(vectors) * kBlock * 2; }
    // Word i of a filter's window, in words from the first of that filter.
    size_t place(int i) const {
      const int run = i / run_words, word = i % run_words, pair = run / 2;
      const int whole = run_words / 2, odd = run_words % 2;
      int vector = run * whole + pair * odd + word / 2, half = word % 2;
      if (odd && word == run_words - 1) {  // behind the second run of the pair, if there is one
        vector = (2 * pair + 2) * whole + pair;
        half = run % 2;
      }
      return (size_t(vector < vectors ? vector : vectors - 1) * kBlock) * 2 + half;
    }
  };

  static bool supports(const ConvShape& s) {
    if (s.k_bits() > V::kMostBits) return false;
    if (kGroups == 1 && s.groups == 1) return true;
    if (s.groups == 1 || s.out_c_per_group() % kBlock != 0) return false;
    return kGroups == 1 ? s.in_c_per_group() % 64 == 0 : s.in_c_per_group() * kGroups == 128;
  }

  static size_t prepared_bytes(const ConvShape& shape) {
    const Cut cut(shape);
    return cut.parts * cut.blocks * cut.block_words() * sizeof(uint64_t);
  }

  static void prepare(const ConvShape& shape, const uint64_t* weights, void* prepared) {
    const Cut cut(shape);
    uint64_t* out = static_cast<uint64_t*>(prepared);
    for (size_t i = 0; i < prepared_bytes(shape) / sizeof(uint64_t); ++i) out[i] = 0;
    uint64_t tap_words[1024];  // words of 65536 channels
    for (int o = 0; o < shape.out_c; ++o) {
      const int group = o / shape.out_c_per_group(), in_group = o % shape.out_c_per_group();
      const int part = group / kGroups;
      const size_t block = size_t(part) * cut.blocks + in_group / kBlock;
      uint64_t* filter = out + block * cut.block_words() + in_group % kBlock * 2;
      const bool single = is_single(cut, part);
      for (int tap = 0; tap < shape.kernel * shape.kernel; ++tap) {
        place_filter(shape, weights, o, tap, part * cut.words, cut.words, 1, tap_words);
        if (single) tap_words[1] = tap_words[0];
        for (int i = 0; i < cut.words; ++i) filter[cut.place(tap * cut.words + i)] |= tap_words[i];
      }
    }
  }

  // Whether the part is the last word of a pixel alone.
  static bool is_single(const Cut& cut, int part) {
    return kGroups > 1 && 2 * part + 1 == cut.pixel_words;
  }

  struct Window {
    const uint64_t* const* rows;  // of output pixel 0
    size_t first;                 // words from there to the part and the tile's first pixel
    size_t pixel;                 // words from a vector's pixel to the next vector's
    size_t second;                // single words: from the first half's pixel to the second half's
    int count, runs, run_words;
    int tap;  // words from one run to the next
  };

  // Where sums go.
  struct Target {
    int x, c;        // first pixel; first output channel of the first group
    int group_step;  // from the channel of a group to that of the next
    int groups;      // that there are
    int pixels;      // of a vector that there are
  };

  static uint8x16_t halves(const uint64_t* low, const uint64_t* high) {
    return vreinterpretq_u8_u64(vcombine_u64(vld1_u64(low), vld1_u64(high)));
  }

  template <int kPixels, bool kSingle>
  [[gnu::always_inline]] static void add_up(const Window& window, const uint64_t* filters,
                                            Sum* sum) {
    uint8x16_t a[kPixels];
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) sum[p] = V::zero();
    const uint64_t* waiting = nullptr;  // the odd word of a run
    for (int ky = 0; ky < window.count; ++ky) {
      for (int kx = 0; kx < window.runs; ++kx) {
        const uint64_t* in = window.rows[ky] + window.first + size_t(kx) * window.tap;
        for (int i = window.run_words / 2; i > 0; --i, in += 2, filters += 2 * kBlock) {
#pragma GCC unroll 8
          for (int p = 0; p < kPixels; ++p) {
            const uint64_t* at = in + p * window.pixel;
            a[p] = kSingle ? halves(at, at + window.second) : vreinterpretq_u8_u64(vld1q_u64(at));
          }
          V::template step<kPixels>(a, filters, sum);
        }
        if (kGroups > 1 || window.run_words % 2 == 0) continue;
        if (!waiting) {
          waiting = in;
          continue;
        }
#pragma GCC unroll 8
        for (int p = 0; p < kPixels; ++p) {
          a[p] = halves(waiting + p * window.pixel, in + p * window.pixel);
        }
        V::template step<kPixels>(a, filters, sum);
        filters += 2 * kBlock;
        waiting = nullptr;
      }
    }
    if (kGroups > 1 || !waiting) return;
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) {
      a[p] =
          vreinterpretq_u8_u64(vcombine_u64(vld1_u64(waiting + p * window.pixel), vdup_n_u64(0)));
    }
    V::template step<kPixels>(a, filters, sum);
  }

  // kCareful: some groups of the part, or the second pixel of a single word, may not exist.
  template <int kPixels, bool kSingle, bool kCareful, class Sink>
  static void tile(const Window& window, const uint64_t* filters, const Sink& shared_sink,
                   const Target& target) {
    const Sink sink = shared_sink;  // a copy of its own: no store can alias it
    Sum sum[kPixels];
    add_up<kPixels, kSingle>(window, filters, sum);
    typename Sink::Sums out[kPixels][V::kOuts];
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) V::finish(sum[p], out[p]);
    constexpr int kEach = kSingle ? 2 : 1;  // pixels of a vector
#pragma GCC unroll 16
    for (int i = 0; i < V::kOuts; ++i) {
      const int group = V::group(i) % (kGroups / kEach), second = V::group(i) / (kGroups / kEach);
      if (kCareful && (group >= target.groups || second >= target.pixels)) continue;
      const auto cursor =
          sink.at(target.c + group * target.group_step + V::output(i), target.x + second);
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p) sink.put(cursor, p * kEach, out[p][i]);
    }
  }

  template <class Sink>
  using Tile = void (*)(const Window&, const uint64_t*, const Sink&, const Target&);

  // One block along a row: as few tiles as possible, of nearly equal size.
  template <class Sink, bool kSingle, int... kPixels>
  static void row(const ConvShape& shape, Window window, const uint64_t* block, const Sink& sink,
                  Target target, std::integer_sequence<int, kPixels...>) {
    static constexpr Tile<Sink> kTiles[] = {tile<kPixels + 1, kSingle, false, Sink>...};
    constexpr bool kSide = kGroups > 1;
    constexpr int kEach = kSingle ? 2 : 1;  // pixels of a vector
    const bool whole = !kSide || target.groups >= kGroups / kEach;
    const int most = whole ? int(sizeof...(kPixels)) : 1;
    const int vectors = shape.out_w / kEach, tiles = (vectors + most - 1) / most;
    target.pixels = kEach;
    for (int i = 0; i < tiles; ++i) {
      const int n = vectors / tiles + int(i < vectors % tiles);
      const Tile<Sink> run = whole ? kTiles[n - 1] : tile<1, kSingle, kSide, Sink>;
      run(window, block, sink, target);
      window.first += n * window.pixel;
      target.x += n * kEach;
    }
    if (!kSingle || target.x == shape.out_w) return;
    window.second = 0;
    target.pixels = 1;
    tile<1, kSingle, kSide, Sink>(window, block, sink, target);
  }

  template <class Sink>
  static void run(const ConvShape& shape, const void* prepared, const uint64_t* const* in,
                  const Sink& sink) {
    const Cut cut(shape);
    constexpr std::make_integer_sequence<int, V::kMaxPixels> kAll{};
    const size_t pixel = size_t(shape.stride) * cut.pixel_words;
    Window window = {in, 0, pixel, pixel, shape.kernel, cut.runs, cut.run_words, cut.pixel_words};
    const uint64_t* block = static_cast<const uint64_t*>(prepared);
    for (int part = 0; part < cut.parts; ++part, window.first += cut.words) {
      const int group = part * kGroups;
      for (int i = 0; i < cut.blocks; ++i, block += cut.block_words()) {
        const Target target = {0, group * shape.out_c_per_group() + i * kBlock,
                               shape.out_c_per_group(), shape.groups - group, 0};
        if (kGroups > 1 && is_single(cut, part)) {
          Window two = window;
          two.pixel = 2 * pixel;
          row<Sink, (kGroups > 1)>(shape, two, block, sink, target, kAll);
        } else {
          row<Sink, false>(shape, window, block, sink, target, kAll);
        }
      }
    }
  }
};

}  // namespace
}  // namespace bnn
