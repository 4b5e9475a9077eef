// Lane = output channel: the words of a pixel are broadcast, a block of filters stands in the
// lanes.
//
//   for each block of kVectors * V::kLanes filters, for each tile of kPixels output pixels:
//     for each word i of the window:
//       for each pixel p, for each vector v of the block:
//         sum[p][v] += popcount(broadcast(input[p][i]) ^ filters[i][v])        per lane
//     the sink finishes sum[p][v]
//
// No horizontal sums and no im2col: the (kx, channel) words of a window row are contiguous. Dense
// layers and groups of whole words need no mask. The masked version serves every other shape: the
// lanes of a block may belong to different groups, which share words with their neighbours
// (placement.h).
//
// prepared: [block][mask words, if masked][window words][kVectors][kLanes] V::Word
//
// V offers
//   Word (uint32_t or uint64_t), Words (one Word per lane), Sum, kLanes
//   load(p) (aligned), broadcast(p) (the Word at p, unaligned), differ(a, w) = a ^ w,
//   differ_masked(a, m, w) = (a & m) ^ w
//   count(sum, x) = sum + popcount(x)
//   Floats, kJoin: how many Sums fill a vector of int32 of a sink; where that is not one,
//   zero() and join(sum), kJoin Sums as Floats::kLanes int32
#pragma once

#include <cstring>
#include <utility>

#include "core/bconv2d/bconv2d.h"
#include "core/bconv2d/placement.h"

namespace bnn {

// The tiles of any size, which kernels that differ in their largest tile share.
template <class V, bool kMasked, int kVectors>
struct BroadcastTiles {
  static constexpr int kBlock = kVectors * V::kLanes;
  static constexpr int kWordBits = 8 * int(sizeof(typename V::Word));
  static constexpr int kPerWord = 64 / kWordBits;  // V::Words of a word of the packed input
  static_assert(kVectors % V::kJoin == 0 && V::kJoin * V::kLanes == V::Floats::kLanes, "");
  static constexpr bool kDirect = V::kJoin == 1;  // the sums are the sink's own vectors
  using Word = typename V::Word;
  using Words = typename V::Words;
  using Sum = typename V::Sum;

  // How blocks cut the filters: a block without masks never leaves its group.
  struct Cut {
    int outputs_per_part, parts, blocks_per_part;
    int span;  // V::Words of a tap
    int taps;
    explicit Cut(const ConvShape& s)
        : outputs_per_part(kMasked ? s.out_c : s.out_c_per_group()),
          parts(kMasked ? 1 : s.groups),
          blocks_per_part((outputs_per_part + kBlock - 1) / kBlock),
          span(kMasked ? span_words(s, kBlock) * kPerWord
                       : (s.in_c_per_group() + kWordBits - 1) / kWordBits),
          taps(s.kernel * s.kernel) {}
    int blocks() const { return parts * blocks_per_part; }
    size_t block_words() const { return size_t(kBlock) * span * (taps + int(kMasked)); }
  };

  static bool supports(const ConvShape& s) {
    if (kMasked || s.groups == 1) return true;
    return s.in_c_per_group() % kWordBits == 0 && s.out_c_per_group() % V::Floats::kLanes == 0;
  }

  static size_t prepared_bytes(const ConvShape& shape) {
    const Cut cut(shape);
    return cut.blocks() * cut.block_words() * sizeof(Word);
  }

  // The word of a pixel where filter o of a part begins to read.
  [[gnu::always_inline]] static int first_of(const ConvShape& shape, const Cut& cut, int part,
                                             int o) {
    if (kMasked) return first_word(shape, o, cut.span / kPerWord) * kPerWord;
    return part * cut.span;
  }

  // from[i] words -> the V::Words at out[i * kBlock], the first `span` of them.
  static void spread(const uint64_t* from, int skip, int span, Word* out) {
    for (int i = 0; i < span; ++i, out += kBlock) {
      const int at = i + skip;
      *out = Word(from[at / kPerWord] >> (at % kPerWord * kWordBits % 64));
    }
  }

  static void prepare(const ConvShape& shape, const uint64_t* weights, void* prepared) {
    const Cut cut(shape);
    Word* out = static_cast<Word*>(prepared);
    std::memset(out, 0, prepared_bytes(shape));
    uint64_t tap_words[1024];  // words of 65536 channels
    for (int block = 0; block < cut.blocks(); ++block, out += cut.block_words()) {
      const int in_part = block % cut.blocks_per_part * kBlock;
      const int o = block / cut.blocks_per_part * cut.outputs_per_part + in_part;
      const int left = cut.outputs_per_part - in_part,
                first = first_of(shape, cut, block / cut.blocks_per_part, o);
      // A group of an odd number of V::Words may begin in the middle of a word.
      const int skip = first % kPerWord;
      const int words = (skip + cut.span + kPerWord - 1) / kPerWord;
      for (int lane = 0; lane < left && lane < kBlock; ++lane) {
        Word* at = out + lane;
        if (kMasked) {
          place_mask(shape, o + lane, first / kPerWord, words, 1, tap_words);
          spread(tap_words, skip, cut.span, at);
          at += size_t(kBlock) * cut.span;
        }
        for (int tap = 0; tap < cut.taps; ++tap, at += size_t(kBlock) * cut.span) {
          place_filter(shape, weights, o + lane, tap, first / kPerWord, words, 1, tap_words);
          spread(tap_words, skip, cut.span, at);
        }
      }
    }
  }

  // Where a block finds its words in an output row.
  struct Window {
    const uint64_t* const* rows;  // of output pixel 0
    int count, runs;              // tap rows; runs of words per tap row
    int run_words;                // length of a run
    ptrdiff_t tap_bytes;          // from one run of words to the next
    ptrdiff_t pixel_bytes;        // from one output pixel to the next
  };

  // All filters, for `tiles` tiles of kPixels pixels from pixel x on.
  template <int kPixels, class Sink>
  static void run_tiles(const ConvShape& shape, const Cut& cut, const Window& shared_window,
                        const void* prepared, const Sink& shared_sink, int x, int tiles) {
    const Window window = shared_window;  // copies of its own: no store can alias them
    const Sink sink = shared_sink;
    const Word* block = static_cast<const Word*>(prepared);
    for (int part = 0, o = 0; part < cut.parts; ++part) {
      for (int left = cut.outputs_per_part; left > 0; left -= kBlock, block += cut.block_words()) {
        const ptrdiff_t first = ptrdiff_t(first_of(shape, cut, part, o)) * sizeof(Word);
        const int end = x + tiles * kPixels;
        for (int at = x; at < end; at += kPixels) {
          Sum sum[kPixels][kVectors];
          add_up<kPixels, Sink>(window, block, first + at * window.pixel_bytes, sum);
#pragma GCC unroll 32
          for (int j = 0; j < kVectors / V::kJoin; ++j) {
            if (j * V::Floats::kLanes >= left) break;
            const auto cursor = sink.at(o + j * V::Floats::kLanes, at);
#pragma GCC unroll 32
            for (int p = 0; p < kPixels; ++p) {
              if constexpr (kDirect) {
                sink.put_sum(cursor, p, sum[p][j]);
              } else {
                sink.put(cursor, p, V::join(sum[p] + j * V::kJoin));
              }
            }
          }
        }
        o += left < kBlock ? left : kBlock;
      }
    }
  }

  template <int kPixels, class Sink>
  [[gnu::always_inline]] static void add_up(const Window& window, const Word* block,
                                            ptrdiff_t offset, Sum (*sum)[kVectors]) {
    const Word* masks = block;
    const Word* filters = block + (kMasked ? ptrdiff_t(kBlock) * window.run_words : 0);
#pragma GCC unroll 32
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 32
      for (int v = 0; v < kVectors; ++v) {
        if constexpr (kDirect) {
          sum[p][v] = Sink::sum_zero();
        } else {
          sum[p][v] = V::zero();
        }
      }
    }
    for (int ky = 0; ky < window.count; ++ky) {
      const char* run = reinterpret_cast<const char*>(window.rows[ky]) + offset;
      for (int kx = 0; kx < window.runs; ++kx, run += window.tap_bytes) {
        const char* in = run;
        const Word* const end = filters + ptrdiff_t(window.run_words) * kBlock;
        const Word* mask_at = masks;
#pragma GCC unroll 1
        for (; filters != end; filters += kBlock, mask_at += kBlock, in += sizeof(Word)) {
          Words filter[kVectors], mask[kVectors];
#pragma GCC unroll 32
          for (int v = 0; v < kVectors; ++v) {
            filter[v] = V::load(filters + v * V::kLanes);
            if (kMasked) mask[v] = V::load(mask_at + v * V::kLanes);
          }
#pragma GCC unroll 32
          for (int p = 0; p < kPixels; ++p) {
            const Words a = V::broadcast(in + p * window.pixel_bytes);
#pragma GCC unroll 32
            for (int v = 0; v < kVectors; ++v) {
              const Words x_or =
                  kMasked ? V::differ_masked(a, mask[v], filter[v]) : V::differ(a, filter[v]);
              sum[p][v] = V::count(sum[p][v], x_or);
            }
          }
        }
      }
    }
  }

  template <class Sink>
  using RunTiles = void (*)(const ConvShape&, const Cut&, const Window&, const void*, const Sink&,
                            int, int);

  template <class Sink, int... kPixels>
  static RunTiles<Sink> run_tiles_of(int pixels, std::integer_sequence<int, kPixels...>) {
    constexpr RunTiles<Sink> kRunTiles[] = {run_tiles<kPixels + 1, Sink>...};
    return kRunTiles[pixels - 1];
  }

  static Window window_of(const ConvShape& shape, const Cut& cut, const uint64_t* const* in) {
    const int words = words_of(shape.in_c) * kPerWord;
    const bool contiguous = cut.span == words;
    Window window;
    window.rows = in;
    window.count = shape.kernel;
    window.runs = contiguous && !kMasked ? 1 : shape.kernel;
    window.run_words = contiguous && !kMasked ? shape.kernel * words : cut.span;
    window.tap_bytes = ptrdiff_t(words) * sizeof(Word);
    window.pixel_bytes = shape.stride * window.tap_bytes;
    return window;
  }
};

template <class V, bool kMasked, int kMaxPixels, int kVectors>
struct Broadcast : BroadcastTiles<V, kMasked, kVectors> {
  using Tiles = BroadcastTiles<V, kMasked, kVectors>;

  template <class Sink>
  static void run(const ConvShape& shape, const void* prepared, const uint64_t* const* in,
                  const Sink& sink) {
    const typename Tiles::Cut cut(shape);
    const typename Tiles::Window window = Tiles::window_of(shape, cut, in);
    // As few tiles as possible, of nearly equal size: 9 pixels are 5 + 4, not 8 + 1.
    const int tiles = (shape.out_w + kMaxPixels - 1) / kMaxPixels;
    const int small = shape.out_w / tiles, larger = shape.out_w % tiles;
    constexpr std::make_integer_sequence<int, kMaxPixels> kAll{};
    const auto run_tiles = [&](int pixels, int x, int count) {
      Tiles::template run_tiles_of<Sink>(pixels, kAll)(shape, cut, window, prepared, sink, x,
                                                       count);
    };
    if (larger) run_tiles(small + 1, 0, larger);
    run_tiles(small, larger * (small + 1), tiles - larger);
  }
};

}  // namespace bnn
