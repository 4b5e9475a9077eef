// Depthwise 3x3, bit-sliced: one channel per BIT of the vector, nine taps counted by carry-save
// adders.
//
//   for each column of the pixel, for each vector of pixels:
//     d[tap] = input[tap] ^ filter[tap]                         9 bits per channel
//     plane[0..3] = d[0] + .. + d[8] as bit planes:             count = sum of plane[i] << i, 0..9
//       three full adders per tap row, then full and half adders of equal weight
//     integer epilogue: count > threshold, plane by plane from the lowest: where the planes differ,
//       the count's bit decides, elsewhere what the lower planes said. The planes of threshold + 1
//       (0..10) are compared with >=, so that `always` and `never` are numbers too.
//     float epilogue: the four bits of a channel side by side, then the sink
//
// As in lanes.h, a vector covers several pixels if they are short.
//
// prepared: [column][9 filters, 4 planes of threshold + 1][kWords] uint64
//
// V offers kWords, Bits, Floats, Loader, constant, differ, store, store_words and widen8 as in
// lanes.h, and
//   parity(a, b, c) = a ^ b ^ c, majority(a, b, c), both(a, b) = a & b
//   or_not(a, b) = a | ~b;  decide(a, b, lower) = a ^ b ? a : lower
//   expand(planes, step, bytes)   the counts of 64 channels; plane i is the word planes[i * step]
#pragma once

#include "core/bconv2d/bconv2d.h"
#include "core/bconv2d/placement.h"
#include "core/epilogue/sink.h"

namespace bnn {

template <class V>
struct Depthwise3x3 {
  using Bits = typename V::Bits;
  using Floats = typename V::Floats;
  static constexpr int kTaps = 9, kPlanes = 4;
  static constexpr int kColumnWords = (kTaps + kPlanes) * V::kWords;
  static constexpr int kChunk = 4;  // vectors of pixels that share the epilogue's constants

  static bool supports(const ConvShape& s) {
    return s.kernel == 3 && s.groups == s.in_c && s.groups == s.out_c;
  }

  static int columns(const ConvShape& s) { return (words_of(s.in_c) + V::kWords - 1) / V::kWords; }

  static size_t prepared_bytes(const ConvShape& shape) {
    return size_t(columns(shape)) * kColumnWords * sizeof(uint64_t);
  }

  static void prepare(const ConvShape& shape, const uint64_t* weights, const int32_t* threshold,
                      void* prepared) {
    uint64_t* out = static_cast<uint64_t*>(prepared);
    const int words = words_of(shape.in_c);
    const int repeats = words < V::kWords ? V::kWords / words : 1;
    for (int i = 0; i < columns(shape) * kColumnWords; ++i) out[i] = 0;
    // Channels that do not exist have the threshold 15: never.
    for (int o = 0; o < words * 64; ++o) {
      const int word = o / 64;
      uint64_t* at = out + size_t(word / V::kWords) * kColumnWords + word % V::kWords;
      const bool exists = o < shape.out_c;
      const int least = !exists ? 15 : threshold ? threshold[o] + 1 : 0;
      for (int i = 0; i < kTaps + kPlanes; ++i, at += V::kWords) {
        uint64_t bit = 0;
        if (i >= kTaps) {
          bit = uint64_t(least >> (i - kTaps) & 1) << (o % 64);
        } else if (exists) {
          place_filter(shape, weights, o, i, word, 1, 1, &bit);
        }
        for (int repeat = 0; repeat < repeats; ++repeat) at[repeat * words] |= bit;
      }
    }
  }

  // The windows of one column of an output row.
  struct Window {
    const uint64_t* rows[3];  // of output pixel 0, first word of the column
    int words;                // of a pixel
    Bits filter[kTaps];

    Window(const uint64_t* const* in, int begin, int pixel_words, const uint64_t* filters)
        : words(pixel_words) {
      for (int ky = 0; ky < 3; ++ky) rows[ky] = in[ky] + begin;
#pragma GCC unroll 9
      for (int tap = 0; tap < kTaps; ++tap) filter[tap] = V::constant(filters + tap * V::kWords);
    }
  };

  [[gnu::always_inline]] static void count(const Window& window, const typename V::Loader& loader,
                                           size_t offset, Bits* plane) {
    Bits sum[3], carry[3];
#pragma GCC unroll 3
    for (int ky = 0; ky < 3; ++ky) {
      Bits d[3];
#pragma GCC unroll 3
      for (int kx = 0; kx < 3; ++kx) {
        const uint64_t* at = window.rows[ky] + offset + size_t(kx) * window.words;
        d[kx] = V::differ(loader.load(at), window.filter[3 * ky + kx]);
      }
      sum[ky] = V::parity(d[0], d[1], d[2]);
      carry[ky] = V::majority(d[0], d[1], d[2]);
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

  // run(window, begin, words in the column, constants of the column) for each column.
  template <class Run>
  [[gnu::always_inline]] static void for_columns(const ConvShape& shape, const void* prepared,
                                                 const uint64_t* const* in, const Run& run) {
    const int words = words_of(shape.in_c);
    const uint64_t* constants = static_cast<const uint64_t*>(prepared);
    for (int begin = 0; begin < words; begin += V::kWords, constants += kColumnWords) {
      const int left = words - begin;
      const Window window(in, begin, words, constants);
      run(window, begin, left < V::kWords ? left : V::kWords, constants);
    }
  }

  static void run_threshold_row(const ConvShape& shape, const void* prepared,
                                const Bconv2dRow& row) {
    for_columns(shape, prepared, row.in,
                [&](const Window& window, int begin, int column_words, const uint64_t* constants) {
                  const int words = window.words, step = shape.stride * words;
                  const int pixels = words < V::kWords ? V::kWords / words : 1;
                  Bits least[kPlanes];
#pragma GCC unroll 4
                  for (int i = 0; i < kPlanes; ++i) {
                    least[i] = V::constant(constants + (kTaps + i) * V::kWords);
                  }
                  const auto pass = [&](const typename V::Loader& loader, int x, int count_pixels)
                                        __attribute__((always_inline)) {
                                          Bits plane[kPlanes];
                                          count(window, loader, size_t(x) * step, plane);
                                          Bits bits = V::or_not(plane[0], least[0]);
#pragma GCC unroll 4
                                          for (int i = 1; i < kPlanes; ++i)
                                            bits = V::decide(plane[i], least[i], bits);
                                          V::store_words(row.out.bits + size_t(x) * words + begin,
                                                         bits, column_words * count_pixels);
                                        };
                  const typename V::Loader full(column_words, step, pixels);
                  int x = 0;
                  for (; x + pixels <= shape.out_w; x += pixels) pass(full, x, pixels);
                  const int left = shape.out_w - x;
                  if (left > 0) pass(typename V::Loader(column_words, step, left), x, left);
                });
  }

  static void run_row(const ConvShape& shape, const void* prepared,
                      const EpilogueConstants& constants, const Bconv2dRow& row) {
    with_float_sink<Floats>(shape, constants, row.shortcut, row.out, [&](const auto& sink) {
      for_columns(shape, prepared, row.in,
                  [&](const Window& window, int begin, int column_words, const uint64_t*) {
                    finish(shape, window, begin, column_words, sink);
                  });
    });
  }

  template <class Sink>
  static void finish(const ConvShape& shape, const Window& window, int begin, int column_words,
                     const Sink& sink) {
    const int words = window.words, step = shape.stride * words;
    const int pixels = words < V::kWords ? V::kWords / words : 1;
    const typename V::Loader full(column_words, step, pixels);
    const typename V::Loader last(column_words, step, (shape.out_w - 1) % pixels + 1);
    alignas(64) char bytes[kChunk][V::kWords * 64];
    for (int x = 0; x < shape.out_w; x += kChunk * pixels) {
      const int left = shape.out_w - x;
      const int used = left < kChunk * pixels ? left : kChunk * pixels;
      for (int i = 0; i * pixels < used; ++i) {
        Bits plane[kPlanes];
        const bool is_last = x + (i + 1) * pixels >= shape.out_w;
        count(window, is_last ? last : full, size_t(x + i * pixels) * step, plane);
        alignas(64) uint64_t planes[kPlanes][V::kWords];
#pragma GCC unroll 4
        for (int p = 0; p < kPlanes; ++p) V::store(planes[p], plane[p]);
        for (int word = 0; word < V::kWords; ++word) {
          V::expand(planes[0] + word, V::kWords, bytes[i] + 64 * word);
        }
      }
      for (int c = 0; c < column_words * 64 && begin * 64 + c < shape.out_c; c += Floats::kLanes) {
        const auto cursor = sink.at(begin * 64 + c, x);
        for (int p = 0; p < used; ++p) {
          const int place = p % pixels * column_words * 64 + c;
          sink.put(cursor, p, V::widen8(bytes[p / pixels] + place));
        }
      }
    }
  }

  static constexpr Bconv2dKernel kernel(const char* name, const char* method, Isa isa) {
    return {name, method, isa, supports, prepared_bytes, prepare, run_row, run_threshold_row};
  }
};

}  // namespace bnn
