// Depthwise 3x3, bit-sliced: one channel per BIT of the vector, nine taps counted by carry-save
// adders.
//
//   for each column of the pixel, for each pixel x:
//     d[tap] = input[x, tap] ^ filter[tap]                      9 bits per channel
//     plane[0..3] = d[0] + .. + d[8] as bit planes:             count = sum of plane[i] << i, 0..9
//       three full adders per tap row, then full and half adders of equal weight
//     acc[x, c] = the four bits of channel c
//
// As in lanes.h, a vector covers several pixels if they are short.
//
// prepared: [column][tap][kWords] uint64
//
// V offers kWords, Bits, Loader, constant, differ and store as in lanes.h, and
//   parity(a, b, c) = a ^ b ^ c, majority(a, b, c), both(a, b) = a & b
//   expand(planes, step, acc)    acc of 64 channels; plane i is the word planes[i * step]
#pragma once

#include "core/bconv2d/bconv2d.h"
#include "core/bconv2d/placement.h"

namespace bnn {

template <class V>
struct Depthwise3x3 {
  using Bits = typename V::Bits;
  static constexpr int kTaps = 9, kPlanes = 4;

  static bool supports(const ConvShape& s) {
    return s.kernel == 3 && s.groups == s.in_c && s.groups == s.out_c;
  }

  static int columns(const ConvShape& s) { return (words_of(s.in_c) + V::kWords - 1) / V::kWords; }

  static size_t prepared_bytes(const ConvShape& shape) {
    return size_t(columns(shape)) * kTaps * V::kWords * sizeof(uint64_t);
  }

  static void prepare(const ConvShape& shape, const uint64_t* weights, void* prepared) {
    uint64_t* out = static_cast<uint64_t*>(prepared);
    const int words = words_of(shape.in_c);
    const int repeats = words < V::kWords ? V::kWords / words : 1;
    for (int i = 0; i < columns(shape) * kTaps * V::kWords; ++i) out[i] = 0;
    for (int o = 0; o < shape.out_c; ++o) {
      const int word = o / 64, column = word / V::kWords;
      for (int tap = 0; tap < kTaps; ++tap) {
        uint64_t* at = out + (size_t(column) * kTaps + tap) * V::kWords + word % V::kWords;
        uint64_t bit;
        place_filter(shape, weights, o, tap, word, 1, 1, &bit);
        for (int repeat = 0; repeat < repeats; ++repeat) at[repeat * words] |= bit;
      }
    }
  }

  static void count(const Bits* d, Bits* plane) {
    Bits sum[3], carry[3];
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      sum[i] = V::parity(d[3 * i], d[3 * i + 1], d[3 * i + 2]);
      carry[i] = V::majority(d[3 * i], d[3 * i + 1], d[3 * i + 2]);
    }
    plane[0] = V::parity(sum[0], sum[1], sum[2]);
    const Bits twos_a = V::majority(sum[0], sum[1], sum[2]);
    const Bits twos_b = V::parity(carry[0], carry[1], carry[2]);
    const Bits fours_a = V::majority(carry[0], carry[1], carry[2]);
    plane[1] = V::differ(twos_a, twos_b);
    const Bits fours_b = V::both(twos_a, twos_b);
    plane[2] = V::differ(fours_a, fours_b);
    plane[3] = V::both(fours_a, fours_b);
  }

  static void run_row(const ConvShape& shape, const uint64_t* input, const void* prepared, int y,
                      int32_t* acc) {
    const int words = words_of(shape.in_c), step = shape.stride * words;
    const int pixels = words < V::kWords ? V::kWords / words : 1;
    const size_t row_words = size_t(shape.padded_w()) * words;
    const uint64_t* filters = static_cast<const uint64_t*>(prepared);
    for (int begin = 0; begin < words; begin += V::kWords, filters += kTaps * V::kWords) {
      const int column_words = words - begin < V::kWords ? words - begin : V::kWords;
      const typename V::Loader full(column_words, step, pixels);
      const typename V::Loader last(column_words, step, (shape.out_w - 1) % pixels + 1);
      Bits filter[kTaps];
#pragma GCC unroll 9
      for (int tap = 0; tap < kTaps; ++tap) filter[tap] = V::constant(filters + tap * V::kWords);
      const uint64_t* in = input + shape.window_word(y, 0) + begin;
      for (int x = 0; x < shape.out_w; x += pixels, in += size_t(pixels) * step) {
        const int left = shape.out_w - x;
        const typename V::Loader& loader = left <= pixels ? last : full;
        Bits d[kTaps], plane[kPlanes];
#pragma GCC unroll 9
        for (int tap = 0; tap < kTaps; ++tap) {
          const uint64_t* at = in + tap / 3 * row_words + size_t(tap % 3) * words;
          d[tap] = V::differ(loader.load(at), filter[tap]);
        }
        count(d, plane);
        alignas(64) uint64_t planes[kPlanes][V::kWords];
#pragma GCC unroll 4
        for (int i = 0; i < kPlanes; ++i) V::store(planes[i], plane[i]);
        int32_t* out = acc + size_t(x) * shape.out_c;
        for (int p = 0; p < pixels && p < left; ++p, out += shape.out_c) {
          for (int word = 0; word < column_words; ++word) {
            const uint64_t* from = planes[0] + p * words + word;
            expand(from, shape.out_c - 64 * (begin + word), out + 64 * (begin + word));
          }
        }
      }
    }
  }

  static void expand(const uint64_t* planes, int channels, int32_t* acc) {
    if (channels >= 64) return V::expand(planes, V::kWords, acc);
    int32_t sums[64];
    V::expand(planes, V::kWords, sums);
    for (int c = 0; c < channels; ++c) acc[c] = sums[c];
  }
};

}  // namespace bnn
