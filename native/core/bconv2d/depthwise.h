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
// prepared: Plan, then [column][9 filters, 4 planes of threshold + 1][kWords] uint64
//
// V offers kWords, Bits, Floats, Loader, Whole (loads kWords words side by side), constant, differ,
// store, store_words and widen8 as in lanes.h, and
//   add(a, b, c, &carry)   full adder: a ^ b ^ c; carry: where two of them or all are set
//   both(a, b) = a & b
//   or_not(a, b) = a | ~b;  decide(a, b, lower) = a ^ b ? a : lower
//   expand(planes, step, bytes)   the counts of 64 channels; plane i is the word planes[i * step]
#pragma once

#include <new>
#include <type_traits>

#include "core/bconv2d/bconv2d.h"
#include "core/bconv2d/pieces.h"
#include "core/bconv2d/pixel_vectors.h"
#include "core/bconv2d/placement.h"
#include "core/epilogue/sink.h"

namespace bnn {

template <class V>
struct Depthwise3x3 {
  using Bits = typename V::Bits;
  using Floats = typename V::Floats;
  static constexpr int kTaps = 9, kPlanes = 4;
  static constexpr int kColumnWords = (kTaps + kPlanes) * V::kWords;
  static constexpr size_t kWordBytes = sizeof(uint64_t);
  static constexpr int kChunk = 14;  // vectors of pixels that share the epilogue's constants

  static bool supports(const ConvShape& s) {
    return s.kernel == 3 && s.groups == s.in_c && s.groups == s.out_c;
  }

  using Plan = PixelVectors<V>;

  static const uint64_t* constants_of(const void* prepared) {
    return reinterpret_cast<const uint64_t*>(static_cast<const char*>(prepared) + sizeof(Plan));
  }

  static size_t prepared_bytes(const ConvShape& shape) {
    return sizeof(Plan) + size_t(Plan(shape).columns) * kColumnWords * sizeof(uint64_t);
  }

  static void prepare(const ConvShape& shape, const uint64_t* weights, const int32_t* threshold,
                      void* prepared) {
    const Plan& plan = *new (prepared) Plan(shape);
    uint64_t* out = const_cast<uint64_t*>(constants_of(prepared));
    const int words = plan.words, repeats = plan.pixels;
    for (int i = 0; i < plan.columns * kColumnWords; ++i) out[i] = 0;
    // Channels that do not exist have the threshold 15: never.
    for (int o = 0; o < words * 64; ++o) {
      const int word = o / 64;
      uint64_t* at = out + size_t(word / V::kWords) * kColumnWords + word % V::kWords;
      const bool exists = o < shape.out_c;
      const int least = !exists ? 15 : threshold ? clamped_threshold(shape, threshold[o]) + 1 : 0;
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

  // The nine taps of one column of an output row, for output pixel 0. Distances in bytes: an index
  // that the load must scale costs time.
  struct Window {
    const char* rows[3];
    size_t pixel;  // from one pixel to the next
  };

  // The planes of the counts of the nine differing(tap), in an order that came out of a search:
  // where operations stay in order (AVX-512), it is 3 to 5 % faster than 0..8.
  template <class Differing>
  [[gnu::always_inline]] static void count(const Differing& differing, Bits* plane) {
    constexpr int kOrder[kTaps] = {2, 4, 8, 5, 1, 7, 0, 3, 6};
    Bits d[kTaps], sum[3], carry[3];
#pragma GCC unroll 9
    for (int i = 0; i < kTaps; ++i) d[kOrder[i]] = differing(kOrder[i]);
#pragma GCC unroll 3
    for (int ky = 0; ky < 3; ++ky) {
      sum[ky] = V::add(d[3 * ky], d[3 * ky + 1], d[3 * ky + 2], &carry[ky]);
    }
    Bits twos_a, fours_a;
    plane[0] = V::add(sum[0], sum[1], sum[2], &twos_a);
    const Bits twos_b = V::add(carry[0], carry[1], carry[2], &fours_a);
    plane[1] = V::differ(twos_a, twos_b);
    const Bits fours_b = V::both(twos_a, twos_b);
    plane[2] = V::differ(fours_a, fours_b);
    plane[3] = V::both(fours_a, fours_b);
  }

  template <bool kSpread, class Loader>
  [[gnu::always_inline]] static Bits load(const Window& window, const Loader& loader, size_t offset,
                                          int tap) {
    const char* at = window.rows[tap / 3] + offset + tap % 3 * window.pixel;
    return loader.template load<kSpread>(reinterpret_cast<const uint64_t*>(at));
  }

  // The channels whose counts reach `least`, both as planes.
  [[gnu::always_inline]] static Bits reaches(const Bits* plane, const Bits* least) {
    Bits bits = V::or_not(plane[0], least[0]);
#pragma GCC unroll 4
    for (int i = 1; i < kPlanes; ++i) bits = V::decide(plane[i], least[i], bits);
    return bits;
  }

  // What of each row compare() does: the vectors begin .. end - 1, all with one loader, `words`
  // words each, of one column.
  struct Part {
    const uint64_t* constants;  // of the column
    int column, begin, end, words;
  };

  // kPixelWords: words of a pixel if its vectors are whole and side by side, else 0. Known
  // distances between taps save up to an eighth of the time of short pixels. Of two pixels to a
  // vector, the third column of taps is the first of the next vector: it is loaded once.
  template <bool kSpread, int kPixelWords, class Loader>
  [[gnu::noinline]] static void compare(const Plan& plan, const Part& part, const Loader& shared,
                                        const ThresholdRows& rows) {
    constexpr bool kShares = kPixelWords * 2 == V::kWords;
    const Loader loader = shared;
    Bits filter[kTaps], least[kPlanes];
#pragma GCC unroll 9
    for (int t = 0; t < kTaps; ++t) filter[t] = V::constant(part.constants + t * V::kWords);
#pragma GCC unroll 4
    for (int i = 0; i < kPlanes; ++i) {
      least[i] = V::constant(part.constants + (kTaps + i) * V::kWords);
    }
    const int words = kPixelWords ? V::kWords : part.words, vectors = part.end - part.begin;
    const size_t pixel = size_t(kPixelWords ? kPixelWords : plan.words) * kWordBytes;
    const size_t step = kPixelWords ? sizeof(Bits) : plan.step * kWordBytes;
    const size_t out_step = kPixelWords ? sizeof(Bits) : plan.out_step * kWordBytes;
    const size_t first = part.begin * step, bits_step = rows.bits_step * kWordBytes;
    const int in_step = rows.in_step;
    const uint64_t* const* in = rows.in;
    char* bits = reinterpret_cast<char*>(rows.bits + part.column * V::kWords);
    bits += part.begin * out_step;
    for (int row = rows.count; row > 0; --row, in += in_step, bits += bits_step) {
      Window window = window_of(plan, part.column, in);
      window.pixel = pixel;
      size_t offset = first;
      char* out = bits;
      Bits first_column[3], third_column[3];
      if constexpr (kShares) {
#pragma GCC unroll 3
        for (int ky = 0; ky < 3; ++ky) {
          third_column[ky] = load<kSpread>(window, loader, offset, 3 * ky);
        }
      }
      for (int left = vectors; left > 0; --left, offset += step, out += out_step) {
        if constexpr (kShares) {
#pragma GCC unroll 3
          for (int ky = 0; ky < 3; ++ky) first_column[ky] = third_column[ky];
        }
        Bits plane[kPlanes];
        count(
            [&](int tap) __attribute__((always_inline)) {
              const int ky = tap / 3, kx = tap % 3;
              if (kShares && kx == 0) return V::differ(first_column[ky], filter[tap]);
              const Bits in = load<kSpread>(window, loader, offset, tap);
              if (kShares && kx == 2) third_column[ky] = in;
              return V::differ(in, filter[tap]);
            },
            plane);
        V::store_words(reinterpret_cast<uint64_t*>(out), reaches(plane, least), words);
      }
    }
  }

  template <bool kSpread, class Sink>
  static void finish(const Plan& plan, int column, const uint64_t* constants,
                     const uint64_t* const* in, const Sink& sink) {
    const Window window = window_of(plan, column, in);
    Bits filter[kTaps];
#pragma GCC unroll 9
    for (int t = 0; t < kTaps; ++t) filter[t] = V::constant(constants + t * V::kWords);
    const bool is_last_column = column + 1 == plan.columns;
    const unsigned pixel_pieces = unsigned(is_last_column ? plan.last_words : V::kWords) * 4;
    const int first = column * V::kWords * 64, pixels = plan.pixels;
    const size_t step = plan.step * kWordBytes;
    alignas(64) char bytes[kChunk][V::kWords * 64];
    for (int begin = 0; begin < plan.vectors; begin += kChunk) {
      const int left = plan.vectors - begin, vectors = left < kChunk ? left : kChunk;
      for (int i = 0; i < vectors; ++i) {
        const bool is_last = begin + i + 1 == plan.vectors;
        const auto& loader = is_last ? plan.last[is_last_column] : plan.full[is_last_column];
        Bits plane[kPlanes];
        count(
            [&](int tap) __attribute__((always_inline)) {
              return V::differ(load<kSpread>(window, loader, (begin + i) * step, tap), filter[tap]);
            },
            plane);
        alignas(64) uint64_t planes[kPlanes][V::kWords];
#pragma GCC unroll 4
        for (int p = 0; p < kPlanes; ++p) V::store(planes[p], plane[p]);
#pragma GCC unroll 8
        for (int word = 0; word < V::kWords; ++word) {
          V::expand(planes[0] + word, V::kWords, bytes[i] + 64 * word);
        }
      }
      for (int p = 0; p < pixels; ++p) {
        const bool beyond = begin + vectors == plan.vectors && p >= plan.last_pixels;
        const PixelPieces pixel = {p * pixel_pieces, pixel_pieces, first};
        put_pieces<V, 1, V::kWords * 64, true>(sink.every(pixels, p), bytes[0], pixel, begin,
                                               vectors - int(beyond));
      }
    }
  }

  [[gnu::always_inline]] static Window window_of(const Plan& plan, int column,
                                                 const uint64_t* const* in) {
    const auto row = [&](int ky) {
      return reinterpret_cast<const char*>(in[ky] + column * V::kWords);
    };
    return {{row(0), row(1), row(2)}, size_t(plan.words) * kWordBytes};
  }

  static void run_row(const ConvShape& shape, const void* prepared,
                      const EpilogueConstants& constants, const Bconv2dRow& row) {
    const Plan& plan = *static_cast<const Plan*>(prepared);
    const uint64_t* own = constants_of(prepared);
    with_float_sink<Floats>(shape, constants, row.shortcut, row.out, [&](const auto& sink) {
      for (int i = 0; i < plan.columns; ++i) {
        const uint64_t* column = own + i * kColumnWords;
        if (plan.spread) {
          finish<true>(plan, i, column, row.in, sink);
        } else {
          finish<false>(plan, i, column, row.in, sink);
        }
      }
    });
  }

  static void run_threshold_rows(const ConvShape&, const void* prepared,
                                 const ThresholdRows& rows) {
    const Plan& plan = *static_cast<const Plan*>(prepared);
    Part part = {constants_of(prepared), 0, 0, 0, 0};
    for (; part.column < plan.columns; ++part.column, part.constants += kColumnWords) {
      const bool is_last = part.column + 1 == plan.columns;
      const int words = is_last ? plan.last_words : V::kWords;
      part.begin = 0;
      part.end = plan.full_vectors;
      part.words = words * plan.pixels;
      if (part.words == V::kWords && !plan.spread) {
        compare_whole(plan, part, rows);
      } else {
        compare_any(plan, part, plan.full[is_last], rows);
      }
      if (part.end == plan.vectors) continue;
      part.begin = part.end;
      part.end = plan.vectors;
      part.words = words * plan.last_pixels;
      compare_any(plan, part, plan.last[is_last], rows);
    }
  }

  static void compare_whole(const Plan& plan, const Part& part, const ThresholdRows& rows) {
    const typename V::Whole loader;
    const bool adjoining = plan.step * kWordBytes == sizeof(Bits);
    if (adjoining && plan.words == 1) return compare<false, 1>(plan, part, loader, rows);
    if (adjoining && plan.words == 2) return compare<false, 2>(plan, part, loader, rows);
    if (adjoining && plan.words == 4) return compare<false, 4>(plan, part, loader, rows);
    if (adjoining && plan.words == 8) return compare<false, 8>(plan, part, loader, rows);
    compare<false, 0>(plan, part, loader, rows);
  }

  static void compare_any(const Plan& plan, const Part& part, const typename V::Loader& loader,
                          const ThresholdRows& rows) {
    if (plan.spread) {
      compare<true, 0>(plan, part, loader, rows);
    } else {
      compare<false, 0>(plan, part, loader, rows);
    }
  }

  static constexpr Bconv2dKernel kernel(const char* name, const char* method, Isa isa) {
    return {name, method, isa, supports, prepared_bytes, prepare, run_row, run_threshold_rows};
  }
};

}  // namespace bnn
