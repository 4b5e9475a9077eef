// Lane = group: small groups without padding. A vector holds the channels of one pixel (or of
// several pixels, if they are few) as they are packed; a lane of kLaneBits bits is a group, or the
// few groups that share it.
//
//   for each column of the pixel, for each 8 of the outputs of a lane, for each pixel x:
//     for each tap, for o in 0..7:
//       sum[o] += popcount((input[x, tap] & mask[o]) ^ filters[tap][o])        per lane
//     acc[x, lane * outputs_per_lane + o] = transposed sum[o][lane]
//
// The mask is needed only for groups smaller than a lane: output o of a lane then belongs to one
// of its groups. A vector of n words covers n / words_of(in_c) pixels; constants are repeated for
// each of them.
//
// prepared: [column][block of 8 outputs][8 masks, then 8 filters per tap][kWords] uint64
//
// V offers
//   kWords, kCountsBytes, Bits, Count;  constant(p) and store(p, v) (aligned), zero()
//   Loader(words, step, pixels).load(p)   the words of `pixels` pixels, `step` words apart, no more
//   differ, differ_masked                 as in broadcast.h
//   count<L>(sum, x)                      sum + popcount(x) per lane of L bits, or per byte of it
//   total<L>(sum)                         the sum of each lane
//   interleave<W>(a, b, &low, &high)      elements of W bits, within 128-bit chunks
//   merge<W>(a, b)                        a | b << W, per 2 * W bits
//   widen8(from, to), widen16(from, to)   8 unsigned numbers to int32
#pragma once

#include "core/bconv2d/bconv2d.h"
#include "core/bconv2d/placement.h"

namespace bnn {

template <class V, int kLaneBits>
struct GroupLanes {
  using Bits = typename V::Bits;
  using Count = typename V::Count;
  static constexpr int kOutputs = 8;  // accumulators of a tile
  static constexpr int kLanesPerWord = 64 / kLaneBits;
  static constexpr int kMaxSum = kLaneBits == 8 ? 255 : 65535;

  // How a pixel fills vectors.
  struct Cut {
    int words, columns, pixels, taps, blocks, outputs_per_lane;
    explicit Cut(const ConvShape& s)
        : words(words_of(s.in_c)),
          columns((words + V::kWords - 1) / V::kWords),
          pixels(words < V::kWords ? V::kWords / words : 1),
          taps(s.kernel * s.kernel),
          outputs_per_lane(kLaneBits / s.in_c_per_group() * s.out_c_per_group()) {
      blocks = outputs_per_lane / kOutputs;
    }
    size_t block_words() const { return size_t(kOutputs) * V::kWords * (taps + 1); }
    int words_in(int column) const {
      const int left = words - column * V::kWords;
      return left < V::kWords ? left : V::kWords;
    }
  };

  static bool supports(const ConvShape& s) {
    const int in_c = s.in_c_per_group();
    if (s.groups == 1 || s.in_c % kLaneBits != 0 || kLaneBits % in_c != 0) return false;
    const bool fits = V::kCountsBytes ? s.kernel * s.kernel * 8 <= 255 : s.k_bits() <= kMaxSum;
    return fits && s.k_bits() <= kMaxSum && kLaneBits / in_c * s.out_c_per_group() % kOutputs == 0;
  }

  static size_t prepared_bytes(const ConvShape& shape) {
    const Cut cut(shape);
    return cut.columns * cut.blocks * cut.block_words() * sizeof(uint64_t);
  }

  static void prepare(const ConvShape& shape, const uint64_t* weights, void* prepared) {
    const Cut cut(shape);
    uint64_t* out = static_cast<uint64_t*>(prepared);
    for (size_t i = 0; i < cut.columns * cut.blocks * cut.block_words(); ++i) out[i] = 0;
    const int per_word = kLanesPerWord * cut.outputs_per_lane;  // outputs of a word of channels
    for (int o = 0; o < shape.out_c; ++o) {
      const int word = o / per_word, in_lane = o % cut.outputs_per_lane;
      const int column = word / V::kWords, block = in_lane / kOutputs;
      uint64_t* at = out + (size_t(column) * cut.blocks + block) * cut.block_words() +
                     in_lane % kOutputs * V::kWords + word % V::kWords;
      for (int tap = -1; tap < cut.taps; ++tap, at += kOutputs * V::kWords) {
        uint64_t bits;
        if (tap < 0) {
          place_mask(shape, o, word, 1, 1, &bits);
        } else {
          place_filter(shape, weights, o, tap, word, 1, 1, &bits);
        }
        for (int pixel = 0; pixel < cut.pixels; ++pixel) at[pixel * cut.words] |= bits;
      }
    }
  }

  // sum[o] -> 16 bytes per chunk: the 8 sums of one lane as uint16, or of two lanes as uint8.
  // rows[i], chunk q holds lane q * 128 / kLaneBits + i (uint8: lanes 2 * i and 2 * i + 1 of chunk
  // q).
  static int transpose(Count* sum, Count* rows) {
    constexpr int kFirst = kLaneBits == 8 ? 8 : 16;  // bits of an element of the result
    Count a[8], b[8];
    if constexpr (kLaneBits > 16) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) a[i] = V::template merge<16>(sum[2 * i], sum[2 * i + 1]);
    } else {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        V::template interleave<kFirst>(sum[2 * i], sum[2 * i + 1], &a[i], &a[i + 4]);
      }
    }
    if constexpr (kLaneBits == 64) {
      const Count low = V::template merge<32>(a[0], a[1]), high = V::template merge<32>(a[2], a[3]);
      V::template interleave<64>(low, high, &rows[0], &rows[1]);
      return 2;
    } else {
      constexpr int kHalves = kLaneBits > 16 ? 1 : 2;
#pragma GCC unroll 2
      for (int half = 0; half < kHalves; ++half) {
        const Count* in = a + 4 * half;
        V::template interleave<2 * kFirst>(in[0], in[1], &b[0], &b[2]);
        V::template interleave<2 * kFirst>(in[2], in[3], &b[1], &b[3]);
        V::template interleave<4 * kFirst>(b[0], b[1], &rows[4 * half], &rows[4 * half + 1]);
        V::template interleave<4 * kFirst>(b[2], b[3], &rows[4 * half + 2], &rows[4 * half + 3]);
      }
      return 4 * kHalves;
    }
  }

  // acc[lane * lane_step + o] = sum[o][lane] for the lanes of the first `words` words.
  static void store(Count* sum, int words, int32_t* acc, int lane_step) {
    constexpr int kChunkLanes = 128 / kLaneBits;
#pragma GCC unroll 8
    for (int o = 0; o < kOutputs; ++o) sum[o] = V::template total<kLaneBits>(sum[o]);
    Count row[8];
    const int rows = transpose(sum, row);
    alignas(64) uint64_t bytes[8][V::kWords];
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) V::store(bytes[i], row[i]);
    const int lanes = words * kLanesPerWord;
    for (int lane = 0; lane < lanes;) {
      const int chunk = lane / kChunkLanes;
      const int left = lanes - lane < kChunkLanes ? lanes - lane : kChunkLanes;
      if constexpr (kLaneBits == 8) {
        for (int i = 0; i < left / 2; ++i, lane += 2) {
          V::widen8(bytes[i] + 2 * chunk, acc + size_t(lane) * lane_step);
          V::widen8(bytes[i] + 2 * chunk + 1, acc + size_t(lane + 1) * lane_step);
        }
      } else {
        for (int i = 0; i < left; ++i, ++lane) {
          V::widen16(bytes[i] + 2 * chunk, acc + size_t(lane) * lane_step);
        }
      }
    }
  }

  // One vector of input pixels, 8 outputs of each lane.
  struct Window {
    const typename V::Loader* loader;
    size_t row_words;
    int kernel, pixel_words;
  };

  template <bool kMasked>
  static void tile(const Window& window, const uint64_t* block, const uint64_t* input, Count* out) {
    Count sum[kOutputs];
    Bits mask[kOutputs];
#pragma GCC unroll 8
    for (int o = 0; o < kOutputs; ++o) {
      sum[o] = V::zero();
      if (kMasked) mask[o] = V::constant(block + o * V::kWords);
    }
    const uint64_t* filters = block + kOutputs * V::kWords;
    for (int ky = 0; ky < window.kernel; ++ky, input += window.row_words) {
      const uint64_t* in = input;
      for (int kx = 0; kx < window.kernel; ++kx, in += window.pixel_words) {
        const Bits a = window.loader->load(in);
#pragma GCC unroll 8
        for (int o = 0; o < kOutputs; ++o, filters += V::kWords) {
          const Bits w = V::constant(filters);
          const Bits x = kMasked ? V::differ_masked(a, mask[o], w) : V::differ(a, w);
          sum[o] = V::template count<kLaneBits>(sum[o], x);
        }
      }
    }
#pragma GCC unroll 8
    for (int o = 0; o < kOutputs; ++o) out[o] = sum[o];
  }

  template <bool kMasked>
  static void run_row_with(const ConvShape& shape, const uint64_t* input, const uint64_t* prepared,
                           int y, int32_t* acc) {
    const Cut cut(shape);
    const bool whole = shape.in_c % 64 == 0;  // no unused lanes between pixels
    const int step = shape.stride * cut.words;
    const int last_pixels = (shape.out_w - 1) % cut.pixels + 1;
    for (int column = 0; column < cut.columns; ++column) {
      const int words = cut.words_in(column);
      const typename V::Loader full(words, step, cut.pixels), last(words, step, last_pixels);
      Window window = {&full, size_t(shape.padded_w()) * cut.words, shape.kernel, cut.words};
      const uint64_t* in_row = input + shape.window_word(y, 0) + column * V::kWords;
      int32_t* out_row = acc + column * V::kWords * kLanesPerWord * cut.outputs_per_lane;
      for (int block = 0; block < cut.blocks; ++block, prepared += cut.block_words()) {
        window.loader = &full;
        for (int x = 0; x < shape.out_w; x += cut.pixels) {
          const int left = shape.out_w - x;
          const int pixels = left < cut.pixels ? left : cut.pixels;
          if (left <= cut.pixels) window.loader = &last;
          Count sum[kOutputs];
          tile<kMasked>(window, prepared, in_row + size_t(x) * step, sum);
          int32_t* out = out_row + size_t(x) * shape.out_c + block * kOutputs;
          if (whole) {
            store(sum, words * pixels, out, cut.outputs_per_lane);
          } else {
            store_used_lanes(sum, shape, cut, words, pixels, column, out);
          }
        }
      }
    }
  }

  // As store(), when the last word of a pixel is not full.
  static void store_used_lanes(Count* sum, const ConvShape& shape, const Cut& cut, int words,
                               int pixels, int column, int32_t* acc) {
    alignas(64) int32_t sums[V::kWords * kLanesPerWord * kOutputs];
    store(sum, words * pixels, sums, kOutputs);
    const int left = shape.in_c / kLaneBits - column * V::kWords * kLanesPerWord;
    const int lanes = words * kLanesPerWord;
    const int used = left < lanes ? left : lanes;
    for (int pixel = 0; pixel < pixels; ++pixel, acc += shape.out_c) {
      const int32_t* from = sums + pixel * lanes * kOutputs;
      for (int lane = 0; lane < used; ++lane, from += kOutputs) {
        int32_t* to = acc + size_t(lane) * cut.outputs_per_lane;
        for (int o = 0; o < kOutputs; ++o) to[o] = from[o];
      }
    }
  }

  static void run_row(const ConvShape& shape, const uint64_t* input, const void* prepared, int y,
                      int32_t* acc) {
    const uint64_t* blocks = static_cast<const uint64_t*>(prepared);
    if (shape.in_c_per_group() == kLaneBits) {
      run_row_with<false>(shape, input, blocks, y, acc);
    } else {
      run_row_with<true>(shape, input, blocks, y, acc);
    }
  }
};

}  // namespace bnn
