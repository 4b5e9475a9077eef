// Lane = group: a lane of kLaneBits (8 or 16) bits holds the channels of one group of one pixel, an
// accumulator holds one output of every group.
//
//   for each column of kWords words of a pixel, for each vector of pixels, for each kOutputs
//   outputs:
//     for each tap t:
//       a = input[tap t]                                           a vector of lanes
//       for each output o:  sum[o] += popcount(a ^ filter[t][o])   per lane
//     integer epilogue: bit o of each lane = (sum[o] > threshold[o])
//     float epilogue:   sum[o][lane] transposed to the order of the channels, then the sink
//
// Output o of a group is bit o of its lane, so packed output is in the order of the channels
// without a shuffle. The accumulators start at 2^(kLaneBits-1) - 1 - threshold: then the top bit of
// the sum is the comparison, and two instructions put it in its place.
//
// A vector covers several pixels if they are short. Groups smaller than a lane share it: with
// kPaired half a lane is a group, and two taps of it are put into one lane (taps 2i and 2i+1; the
// lower half's outputs see the lower groups, the upper half's the upper); otherwise a mask for each
// output keeps the others out.
//
// prepared: int32 thresholds [padded_channels(out_c)], then
//           [column][block of kOutputs][start, masks, filters of each tap or
//           pair][kOutputs][kWords]
//
// V offers
//   kWords, kAccumulators, Bits, Count, Floats
//   kCountsBytes: popcounts stay in bytes until total<L>
//   Loader(words, step, pixels): load<kSpread>(p) gives the words of `pixels` pixels, `step` words
//   apart; kSpread if they are not side by side
//   constant(p) (aligned)
//   Input, input(bits)                    the form in which the input meets the filters
//   kFilterParts, filter(p)               filters and masks in that form: 1, as they are, or 2, the
//                                         low and then the high nibbles, each as a byte
//   differ(a, w) = a ^ w, differ_masked(a, m, w) = (a & m) ^ w
//   pair_low(a, b), pair_high(a, b)       half lanes of 4 bits: a.low, b.low and a.high, b.high
//   count<L>(sum, x)                      sum + popcount(x) per lane of L bits, or per byte of it
//   total<L>(sum), add<L>(a, b)           the sum of each lane; per lane of L bits
//   pin(sum)                              sum; keeps the compiler from moving work across it
//   collect<L>(bits, sum)                 per lane of L bits: bits >> 1, and sum's top bit on top
//   interleave<W>(a, b, &low, &high)      elements of W bits, within 128-bit chunks
//   merge<W>(a, b)                        a | b << W, per 2 * W bits
//   store(p, v) (aligned), store_words(p, v, n)
//   widen8(p), widen16(p)                 uint8 or uint16 at p (aligned) to Floats::I
#pragma once

#include <cstring>
#include <new>
#include <type_traits>

#include "core/bconv2d/bconv2d.h"
#include "core/bconv2d/pieces.h"
#include "core/bconv2d/pixel_vectors.h"
#include "core/bconv2d/placement.h"
#include "core/epilogue/sink.h"

namespace bnn {

template <class V, int kLaneBits, bool kPaired = false>
struct GroupLanes {
  using Bits = typename V::Bits;
  using Input = typename V::Input;
  using Count = typename V::Count;
  using Floats = typename V::Floats;
  // Sixteen outputs at a time where the sums fit a byte and the accumulators the registers.
  static constexpr int kOutputs = kLaneBits == 16 && Floats::kLanes == 16 ? 16 : 8;
  static constexpr int kBlocks = kLaneBits / kOutputs;
  static constexpr bool kBytes = kLaneBits == 8 || kOutputs == 16;  // transposed sums are uint8
  static constexpr int kRows = 8;                                   // of pieces
  static constexpr int kInputs = kPaired ? 2 : 1;
  static constexpr int kFilterWords = V::kFilterParts * V::kWords;
  static constexpr int kMostTaps = kPaired ? 31 : 63;  // 8 bits of each in a byte
  static constexpr int kChunk = 14;  // vectors of pixels that share the epilogue's constants
  static constexpr int kTogether = V::kAccumulators / kOutputs;  // that share a load of the filters
  static_assert(kTogether == 1 || kTogether == 2, "");

  // What does not change from row to row.
  struct Plan : PixelVectors<V> {
    int kernel, taps;
    bool masked;

    explicit Plan(const ConvShape& s)
        : PixelVectors<V>(s),
          kernel(s.kernel),
          taps(s.kernel * s.kernel),
          masked(!kPaired && s.in_c_per_group() != kLaneBits) {}
    size_t block_words() const {
      const int steps = (taps + kInputs - 1) / kInputs;
      return size_t(kOutputs) * (V::kWords + kFilterWords * (steps + int(masked)));
    }
    size_t all_words() const { return size_t(this->columns) * kBlocks * block_words(); }
  };

  static bool supports(const ConvShape& s) {
    const int per_group = s.in_c_per_group();
    if (s.groups == 1 || s.in_c != s.out_c || s.in_c % kLaneBits != 0) return false;
    if (kPaired ? per_group * 2 != kLaneBits : kLaneBits % per_group != 0) return false;
    const int most = kBytes || V::kCountsBytes ? 255 / 8 : kMostTaps;
    return s.kernel * s.kernel <= most && (!kBytes || s.k_bits() <= 255);
  }

  // Whether the top bit of a lane can be the comparison.
  static bool compares_in_lanes(const ConvShape& s) { return kLaneBits > 8 || s.k_bits() <= 127; }

  static const int32_t* thresholds_of(const void* prepared) {
    return reinterpret_cast<const int32_t*>(static_cast<const char*>(prepared) + sizeof(Plan));
  }

  static size_t prepared_bytes(const ConvShape& shape) {
    return sizeof(Plan) + size_t(padded_channels(shape.out_c)) * sizeof(int32_t) +
           Plan(shape).all_words() * sizeof(uint64_t);
  }

  static void prepare(const ConvShape& shape, const uint64_t* weights, const int32_t* threshold,
                      void* prepared) {
    const Plan& plan = *new (prepared) Plan(shape);
    int32_t* padded = const_cast<int32_t*>(thresholds_of(prepared));
    uint64_t* blocks = reinterpret_cast<uint64_t*>(padded + padded_channels(shape.out_c));
    std::memset(blocks, 0, plan.all_words() * sizeof(uint64_t));
    for (int o = 0; o < padded_channels(shape.out_c); ++o) {
      padded[o] = threshold && o < shape.out_c ? threshold[o] : INT32_MAX;
    }
    for (int o = 0; o < shape.out_c; ++o) {
      const int word = o / 64, column = word / V::kWords, in_lane = o % kLaneBits;
      const int output = in_lane % kOutputs;
      uint64_t* start = blocks +
                        (size_t(column) * kBlocks + in_lane / kOutputs) * plan.block_words() +
                        output * V::kWords + word % V::kWords;
      uint64_t* at = start + kOutputs * V::kWords + output * (kFilterWords - V::kWords);
      const auto repeat = [&](uint64_t bits, uint64_t* to) {
        for (int pixel = 0; pixel < plan.pixels; ++pixel) to[pixel * plan.words] |= bits;
      };
      const auto place = [&](uint64_t bits) {
        constexpr uint64_t kNibbles = V::kFilterParts == 2 ? 0x0f0f0f0f0f0f0f0f : ~uint64_t{0};
        repeat(bits & kNibbles, at);
        if (V::kFilterParts == 2) repeat(bits >> 4 & kNibbles, at + V::kWords);
        at += kOutputs * kFilterWords;
      };
      const int lane_bit = o % 64 / kLaneBits * kLaneBits;
      const uint64_t half = uint64_t{1} << (kLaneBits - 1);
      if (threshold) {
        const int64_t most = clamped_threshold(shape, threshold[o]);
        if (compares_in_lanes(shape)) repeat((half - 1 - uint64_t(most)) << lane_bit, start);
      }
      uint64_t bits;
      if (plan.masked) {
        place_mask(shape, o, word, 1, 1, &bits);
        place(bits);
      }
      for (int tap = 0; tap < plan.taps; tap += kInputs) {
        place_filter(shape, weights, o, tap, word, 1, 1, &bits);
        if (kPaired) bits = pair_in_lane(shape, weights, o, tap, bits);
        place(bits);
      }
    }
  }

  // The filter of tap `tap`, `first`, in the lower half of its lane and that of the next tap in the
  // upper half, whichever half the group's channels stand in.
  static uint64_t pair_in_lane(const ConvShape& shape, const uint64_t* weights, int o, int tap,
                               uint64_t first) {
    constexpr int kHalf = kLaneBits / 2;
    const bool upper = o / kHalf % 2 != 0;
    uint64_t second = 0;
    if (tap + 1 < shape.kernel * shape.kernel) {
      place_filter(shape, weights, o, tap + 1, o / 64, 1, 1, &second);
    }
    return upper ? first >> kHalf | second : first | second << kHalf;
  }

  // sum[o] -> rows of 16-byte pieces in the order of the channels. With sums in bytes: 16 channels;
  // else the 8 outputs of a lane as uint16. rows[i], chunk q of 128 bits holds piece q * kRows + i.
  static void transpose(const Count* sum, Count* rows) {
    constexpr int kFirst = kLaneBits == 8 ? 8 : 16;  // bits of an element of the result
    Count pair[8], a[8], b[4];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      if constexpr (kOutputs == 16) {
        pair[i] = V::template merge<8>(sum[2 * i], sum[2 * i + 1]);
      } else {
        pair[i] = sum[i];
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      V::template interleave<kFirst>(pair[2 * i], pair[2 * i + 1], &a[i], &a[i + 4]);
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const Count* in = a + 4 * half;
      V::template interleave<2 * kFirst>(in[0], in[1], &b[0], &b[2]);
      V::template interleave<2 * kFirst>(in[2], in[3], &b[1], &b[3]);
      V::template interleave<4 * kFirst>(b[0], b[1], &rows[4 * half], &rows[4 * half + 1]);
      V::template interleave<4 * kFirst>(b[2], b[3], &rows[4 * half + 2], &rows[4 * half + 3]);
    }
  }

  // Where the taps of output pixel 0 stand; kTaps: 9, or 0 for any number.
  template <int kTaps>
  struct Taps {
    const uint64_t* at[kTaps ? kTaps : kMostTaps];
    int count;

    [[gnu::always_inline]] Taps(const uint64_t* const* in, int first_word, const Plan& plan)
        : count(kTaps ? kTaps : plan.taps) {
      const int kernel = kTaps ? 3 : plan.kernel;
      for (int ky = 0, t = 0; ky < kernel; ++ky) {
        const uint64_t* word = in[ky] + first_word;
        for (int kx = 0; kx < kernel; ++kx, word += plan.words) at[t++] = word;
      }
    }
  };

  // kVectors vectors of input pixels, `offset` words from the first and `step` from one to the
  // next; kOutputs outputs of each lane. kStart: the sums begin at the block's start, and are
  // compared with 0 in the top bit. kTaps: 9, unrolled, or 0, any number. The compiler is kept from
  // gathering the xors of several taps, for which there are no registers.
  template <bool kMasked, bool kStart, bool kSpread, int kTaps, int kVectors>
  [[gnu::always_inline]] static void add_up(const Taps<kTaps>& taps,
                                            const typename V::Loader& loader, size_t offset,
                                            size_t step, const uint64_t* block,
                                            Count (*sum)[kOutputs]) {
    constexpr bool kStartFirst = kStart && (kLaneBits == 8 || !V::kCountsBytes);
    const uint64_t* const masks = block + kOutputs * V::kWords;
    const uint64_t* filters = masks + (kMasked ? kOutputs * kFilterWords : 0);
    const int count = kTaps ? kTaps : taps.count;
#pragma GCC unroll 16
    for (int o = 0; o < kOutputs; ++o) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        sum[v][o] = kStartFirst ? Count(V::constant(block + o * V::kWords)) : V::zero();
      }
    }
    const auto add_taps = [&](int t) __attribute__((always_inline)) {
      Input a[kVectors][kInputs];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const size_t at = offset + v * step;
        if constexpr (kPaired) {
          const Bits first = loader.template load<kSpread>(taps.at[t] + at);
          Bits second = Bits(V::zero());
          if (t + 1 < count) second = loader.template load<kSpread>(taps.at[t + 1] + at);
          a[v][0] = V::pair_low(first, second);
          a[v][1] = V::pair_high(first, second);
        } else {
          a[v][0] = V::input(loader.template load<kSpread>(taps.at[t] + at));
        }
      }
#pragma GCC unroll 16
      for (int o = 0; o < kOutputs; ++o, filters += kFilterWords) {
        const Input w = V::filter(filters);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
          const Input in = a[v][o * kInputs / kOutputs];
          const Input x_or = kMasked ? V::differ_masked(in, V::filter(masks + o * kFilterWords), w)
                                     : V::differ(in, w);
          sum[v][o] = V::pin(V::template count<kLaneBits>(sum[v][o], x_or));
        }
      }
    };
    if constexpr (kTaps != 0) {
#pragma GCC unroll 9
      for (int t = 0; t < kTaps; t += kInputs) add_taps(t);
    } else {
#pragma GCC unroll 1
      for (int t = 0; t < count; t += kInputs) add_taps(t);
    }
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 16
      for (int o = 0; o < kOutputs; ++o) {
        sum[v][o] = V::template total<kLaneBits>(sum[v][o]);
        if constexpr (kStart && !kStartFirst) {
          const Count start = Count(V::constant(block + o * V::kWords));
          sum[v][o] = V::template add<kLaneBits>(sum[v][o], start);
        }
      }
    }
  }

  // One column of an output row.
  struct Column {
    const uint64_t* const* in;
    const typename V::Loader *full, *last;
    const uint64_t* blocks;
    int words, first_channel;
  };

  // run(vector, loader, how many) for the vectors of pixels begin .. end - 1, kTogether at a time.
  template <class Run>
  [[gnu::always_inline]] static void for_vectors(const Plan& plan, const Column& column, int begin,
                                                 int end, const Run& run) {
    const int full = end < plan.full_vectors ? end : plan.full_vectors;
    int vector = begin;
    {
      const typename V::Loader loader = *column.full;
      for (; vector + kTogether <= full; vector += kTogether) {
        run(vector, loader, std::integral_constant<int, kTogether>());
      }
    }
#pragma GCC unroll 1
    for (; vector < end; ++vector) {
      run(vector, vector < full ? *column.full : *column.last, std::integral_constant<int, 1>());
    }
  }

  // Integer epilogue: the lanes of the output are the bits.
  template <bool kMasked, bool kSpread, int kTaps>
  static void compare(const Plan& plan, const Column& column, const ThresholdRows& rows) {
    const uint64_t* const blocks = column.blocks;
    const size_t step = plan.step, block_words = plan.block_words();
    const size_t out_step = plan.out_step;
    const int full_words = column.words * plan.pixels, first_word = column.first_channel / 64;
    const int last_words = column.words * plan.last_pixels, last = plan.vectors - 1;
    for (int row = 0; row < rows.count; ++row) {
      const Taps<kTaps> taps(rows.in + row * rows.in_step, first_word, plan);
      uint64_t* const out = rows.bits + row * rows.bits_step + first_word;
      for_vectors(plan, column, 0, plan.vectors,
                  [&](int vector, const typename V::Loader& loader, auto together)
                      __attribute__((always_inline)) {
                        constexpr int kVectors = decltype(together)::value;
                        Bits bits[kVectors];
#pragma GCC unroll 2
                        for (int v = 0; v < kVectors; ++v) bits[v] = Bits(V::zero());
#pragma GCC unroll 1
                        for (int block = 0; block < kBlocks; ++block) {
                          Count sum[kVectors][kOutputs];
                          add_up<kMasked, true, kSpread, kTaps, kVectors>(
                              taps, loader, vector * step, step, blocks + block * block_words, sum);
#pragma GCC unroll 16
                          for (int o = 0; o < kOutputs; ++o) {
#pragma GCC unroll 2
                            for (int v = 0; v < kVectors; ++v) {
                              bits[v] = V::template collect<kLaneBits>(bits[v], sum[v][o]);
                            }
                          }
                        }
#pragma GCC unroll 2
                        for (int v = 0; v < kVectors; ++v) {
                          V::store_words(out + (vector + v) * out_step, bits[v],
                                         vector + v == last ? last_words : full_words);
                        }
                      });
    }
  }

  using Pieces = uint64_t[kChunk][kRows][V::kWords];

  // The sums of the vectors begin .. end - 1, in the order of the channels.
  template <bool kMasked, bool kSpread, int kTaps>
  [[gnu::noinline]] static void fill(const Plan& plan, const Column& column,
                                     const uint64_t* constants, int begin, int end,
                                     Pieces& pieces) {
    const Taps<kTaps> taps(column.in, column.first_channel / 64, plan);
    const size_t step = plan.step;
    for_vectors(plan, column, begin, end,
                [&](int vector, const typename V::Loader& loader, auto together)
                    __attribute__((always_inline)) {
                      constexpr int kVectors = decltype(together)::value;
                      Count sum[kVectors][kOutputs];
                      add_up<kMasked, false, kSpread, kTaps, kVectors>(taps, loader, vector * step,
                                                                       step, constants, sum);
#pragma GCC unroll 2
                      for (int v = 0; v < kVectors; ++v) {
                        Count rows[kRows];
                        transpose(sum[v], rows);
#pragma GCC unroll 8
                        for (int r = 0; r < kRows; ++r)
                          V::store(pieces[vector - begin + v][r], rows[r]);
                      }
                    });
  }

  // Float epilogue, a chunk of vectors at a time.
  template <class Sink>
  static void finish(const Plan& plan, const Column& column, const Sink& sink) {
    alignas(64) Pieces pieces;
    const size_t block_words = plan.block_words();
    for (int begin = 0; begin < plan.vectors; begin += kChunk) {
      const int left = plan.vectors - begin, count = left < kChunk ? left : kChunk;
      for (int block = 0; block < kBlocks; ++block) {
        const uint64_t* constants = column.blocks + block * block_words;
        choose(plan, [&](auto masked, auto spread, auto taps) {
          fill<masked.value, spread.value, taps.value>(plan, column, constants, begin,
                                                       begin + count, pieces);
        });
        const char* bytes = reinterpret_cast<const char*>(pieces);
        for (int p = 0; p < plan.pixels; ++p) {
          const bool beyond = begin + count == plan.vectors && p >= plan.last_pixels;
          const unsigned pixel_pieces = unsigned(column.words) * 4;
          const PixelPieces pixel = {p * pixel_pieces, pixel_pieces,
                                     column.first_channel + block * kOutputs};
          put_pieces<V, kRows, V::kWords * 8, kBytes>(sink.every(plan.pixels, p), bytes, pixel,
                                                      begin, count - int(beyond));
        }
      }
    }
  }

  // run(plan, column) for each column.
  template <class Run>
  [[gnu::always_inline]] static void for_columns(const ConvShape& shape, const void* prepared,
                                                 const uint64_t* const* in, const Run& run) {
    const Plan& plan = *static_cast<const Plan*>(prepared);
    Column column;
    column.blocks =
        reinterpret_cast<const uint64_t*>(thresholds_of(prepared) + padded_channels(shape.out_c));
    column.in = in;
    for (int i = 0; i < plan.columns; ++i) {
      const bool is_last = i + 1 == plan.columns;
      column.full = &plan.full[is_last];
      column.last = &plan.last[is_last];
      column.words = is_last ? plan.last_words : V::kWords;
      column.first_channel = i * V::kWords * 64;
      run(plan, column);
      column.blocks += kBlocks * plan.block_words();
    }
  }

  // The versions of a function: kMasked, kSpread, kTaps.
  template <class Run>
  [[gnu::always_inline]] static void choose(const Plan& plan, const Run& run) {
    using Nine = std::integral_constant<int, 9>;
    using Any = std::integral_constant<int, 0>;
    if constexpr (!kPaired) {
      if (plan.masked) {
        return plan.spread ? run(std::true_type(), std::true_type(), Any())
                           : run(std::true_type(), std::false_type(), Any());
      }
    }
    if (plan.taps == 9) {
      plan.spread ? run(std::false_type(), std::true_type(), Nine())
                  : run(std::false_type(), std::false_type(), Nine());
    } else {
      plan.spread ? run(std::false_type(), std::true_type(), Any())
                  : run(std::false_type(), std::false_type(), Any());
    }
  }

  template <class Sink>
  static void run_with(const ConvShape& shape, const void* prepared, const uint64_t* const* in,
                       const Sink& sink) {
    for_columns(shape, prepared, in,
                [&](const Plan& plan, const Column& column) { finish(plan, column, sink); });
  }

  static void run_row(const ConvShape& shape, const void* prepared,
                      const EpilogueConstants& constants, const Bconv2dRow& row) {
    with_float_sink<Floats>(shape, constants, row.shortcut, row.out,
                            [&](const auto& sink) { run_with(shape, prepared, row.in, sink); });
  }

  static void run_threshold_rows(const ConvShape& shape, const void* prepared,
                                 const ThresholdRows& rows) {
    if (!compares_in_lanes(shape)) return threshold_rows_of<GroupLanes>(shape, prepared, rows);
    for_columns(shape, prepared, rows.in, [&](const Plan& plan, const Column& column) {
      choose(plan, [&](auto masked, auto spread, auto taps) {
        compare<masked.value, spread.value, taps.value>(plan, column, rows);
      });
    });
  }

  static void run_threshold_row(const ConvShape& shape, const void* prepared,
                                const uint64_t* const* in, uint64_t* bits) {
    run_with(shape, prepared, in, ThresholdSink<Floats>(shape, thresholds_of(prepared), bits));
  }

  static constexpr Bconv2dKernel kernel(const char* name, const char* method, Isa isa) {
    return {name, method, isa, supports, prepared_bytes, prepare, run_row, run_threshold_rows};
  }
};

}  // namespace bnn
