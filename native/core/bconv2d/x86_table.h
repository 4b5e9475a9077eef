// Dense layers and wide groups without a popcount instruction: xor and count of 4 channels by one
// VPSHUFB, for two pixels at once.
//
//   table[a | b << 4][w] = popcount(a ^ w) + 16 * popcount(b ^ w)       a, b, w: nibbles
//
//   for each block of kVectors vectors of filters, for each tile of kPairs pairs of pixels:
//     index[pair][i] = nibble i of the windows of the pair's two pixels
//     for each three nibbles i, i + 1, i + 2 of the window:
//       for each pair of pixels, for each vector v of the block:
//         x = table[index[pair][i]][filters[i][v]] + .. [i + 1] .. + .. [i + 2] ..     per byte
//         all[pair][v] += x;  second[pair][v] += x >> 4
//     before a byte of `second` overflows: the first pixel's sum is all - 16 * second, exact modulo
//     256, the second pixel's is `second`; both are added to sums of 16 bits
//     the sink finishes the sums
//
// A nibble counts at most 4, so half a byte holds three of them: 9 instructions for 6 nibbles of
// each filter of the vector. The 4 KiB of the table stay in the first-level cache.
//
// prepared: uint8 [block][step][kVectors][V::kBytes filters]; a step is a nibble, 0..15
//
// V offers
//   kBytes, kRegisters, Bytes;  zero(), add, load(p) (aligned)
//   row(p) (16 bytes of the table, for every 16 filters), lookup(row, nibbles) = row[nibbles[lane]]
//   high_nibbles(x), pin(x) = x, kept in a register
//   first_of(all, second) = all - 16 * second
//   widen_low(x), widen_high(x), add_wide(a, b)   the bytes as two vectors of 16 bits
//   Floats; part(wide, j): channels j * Floats::kLanes .. of the two vectors as int32
#pragma once

#include <immintrin.h>

#include <cstring>
#include <utility>

#include "core/bconv2d/bconv2d.h"

namespace bnn {
namespace {

struct PairTable {
  alignas(64) uint8_t row[256][16];
  constexpr PairTable() : row() {
    for (int pair = 0; pair < 256; ++pair) {
      for (int w = 0; w < 16; ++w) {
        int count = 0;
        for (int bit = 0; bit < 4; ++bit) {
          count += (pair ^ w) >> bit & 1;
          count += 16 * ((pair >> 4 ^ w) >> bit & 1);
        }
        row[pair][w] = uint8_t(count);
      }
    }
  }
};
constexpr PairTable kPairTable;

// Rows are 16 bytes and an address scales by 8 at most: an index is twice the row's number.
const uint8_t* row_at(uint16_t index) {
  return reinterpret_cast<const uint8_t*>(&kPairTable) + size_t(index) * 8;
}

template <class T>
__m128i load_as(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return _mm_cvtsi64_si128(int64_t(value));
}

// The 2 * n indices of n <= 8 bytes of a pixel and its neighbour: n low nibbles, then n high ones.
// 16 elements are written.
void store_indices(__m128i first, __m128i second, int n, uint16_t* out) {
  const __m128i nibble = _mm_set1_epi8(15), weight = _mm_set1_epi16(2 | 32 << 8);
  const __m128i both = _mm_unpacklo_epi8(first, second);
  const __m128i low = _mm_and_si128(both, nibble);
  const __m128i high = _mm_and_si128(_mm_srli_epi16(both, 4), nibble);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_maddubs_epi16(low, weight));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out + n), _mm_maddubs_epi16(high, weight));
}

}  // namespace

template <class V, int kMaxPairs, int kVectors>
struct NibbleTable {
  using Bytes = typename V::Bytes;
  static constexpr int kBlock = kVectors * V::kBytes;  // filters
  static constexpr int kFlush = 21;                    // times 3 nibbles of 4: at most 252
  static constexpr int kChunk = 312;  // bytes of a window whose indices wait in memory: 10 flushes
  static constexpr int kMaxKernel = 7;

  // A window is a run of bytes for each tap, or for each tap row if its taps are contiguous.
  struct Window {
    const char* runs[kMaxKernel * kMaxKernel];  // of output pixel 0
    int count, run_bytes;
    ptrdiff_t pixel_bytes;  // from one output pixel to the next

    explicit Window(const ConvShape& s) {
      const bool contiguous = s.groups == 1 && s.in_c % 64 == 0;
      const int tap_bytes = (s.in_c_per_group() + 7) / 8;
      count = contiguous ? s.kernel : s.kernel * s.kernel;
      run_bytes = contiguous ? s.kernel * tap_bytes : tap_bytes;
      pixel_bytes = ptrdiff_t(s.stride) * words_of(s.in_c) * 8;
    }
    int bytes() const { return count * run_bytes; }
    // Nibbles, up to a multiple of 3; those past the window are 0 in input and filters.
    int steps() const { return (2 * bytes() + 2) / 3 * 3; }
  };

  static int blocks(const ConvShape& s) { return (s.out_c + kBlock - 1) / kBlock; }

  static bool supports(const ConvShape& s) {
    if (s.k_bits() > INT16_MAX || s.kernel > kMaxKernel) return false;  // sums of 16 bits
    return s.groups == 1 || (s.in_c_per_group() % 8 == 0 && s.out_c_per_group() % kBlock == 0);
  }

  static size_t prepared_bytes(const ConvShape& s) {
    return size_t(blocks(s)) * size_t(Window(s).steps()) * kBlock;
  }

  static void prepare(const ConvShape& shape, const uint64_t* weights, void* prepared) {
    const Window window(shape);
    uint8_t* out = static_cast<uint8_t*>(prepared);
    std::memset(out, 0, prepared_bytes(shape));
    const int tap_bytes = (shape.in_c_per_group() + 7) / 8;
    const int taps = shape.kernel * shape.kernel;
    for (int o = 0; o < shape.out_c; ++o) {
      uint8_t* filter = out + size_t(o / kBlock) * size_t(window.steps()) * kBlock + o % kBlock;
      for (int tap = 0; tap < taps; ++tap, weights += words_of(shape.in_c_per_group())) {
        for (int i = 0; i < tap_bytes; ++i) {
          const unsigned byte = weights[i / 8] >> (i % 8 * 8) & 0xff;
          const int at = tap * tap_bytes + i, begin = at / 8 * 8;
          const int left = taps * tap_bytes - begin, n = left < 8 ? left : 8;
          uint8_t* low = filter + size_t(begin + at) * kBlock;
          low[0] = uint8_t(byte & 15);
          low[size_t(n) * kBlock] = uint8_t(byte >> 4);
        }
      }
    }
  }

  using Indices = uint16_t[kMaxPairs][2 * kChunk + 16];

  // Turns the windows of a tile into indices, 8 bytes at a time.
  template <int kPairs>
  class Reader {
   public:
    // last: the last pixel of the tile, in bytes from its first.
    [[gnu::always_inline]] Reader(const Window& window, ptrdiff_t offset, ptrdiff_t last)
        : window_(window), offset_(offset), last_(last), run_(0), in_run_(0) {}

    // The next n <= 8 bytes.
    [[gnu::always_inline]] void next(int n, Indices& indices, int step) {
      const char* at = window_.runs[run_] + in_run_ + offset_;
      if (window_.run_bytes % 8 == 0) {
        for_pairs(n, indices, step, [&](ptrdiff_t pixel) __attribute__((always_inline)) {
          return load_as<uint64_t>(at + pixel);
        });
        in_run_ += 8;
        if (in_run_ == window_.run_bytes) ++run_, in_run_ = 0;
      } else if (window_.run_bytes == 4) {
        const char* other = n == 8 ? window_.runs[run_ + 1] + offset_ : at;
        for_pairs(n, indices, step, [&](ptrdiff_t pixel) __attribute__((always_inline)) {
          const __m128i bytes = load_as<uint32_t>(at + pixel);
          return _mm_unpacklo_epi32(bytes, load_as<uint32_t>(other + pixel));
        });
        run_ += 2;
      } else {
        const int run = run_, in_run = in_run_;
        for_pairs(n, indices, step, [&](ptrdiff_t pixel) {
          run_ = run, in_run_ = in_run;
          uint64_t bytes = 0;
          for (int i = 0; i < n; ++i) {
            const char byte = window_.runs[run_][in_run_ + offset_ + pixel];
            bytes |= uint64_t(uint8_t(byte)) << (8 * i);
            if (++in_run_ == window_.run_bytes) ++run_, in_run_ = 0;
          }
          return _mm_cvtsi64_si128(int64_t(bytes));
        });
      }
    }

   private:
    template <class Load>
    [[gnu::always_inline]] void for_pairs(int n, Indices& indices, int step, const Load& load) {
#pragma GCC unroll 8
      for (int pair = 0; pair < kPairs; ++pair) {
        const ptrdiff_t first = 2 * pair * window_.pixel_bytes;
        const ptrdiff_t second = pair + 1 < kPairs ? first + window_.pixel_bytes : last_;
        store_indices(load(first), load(second), n, indices[pair] + step);
      }
    }

    const Window& window_;
    const ptrdiff_t offset_, last_;
    int run_, in_run_;
  };

  [[gnu::always_inline]] static Bytes row(uint16_t index) { return V::row(row_at(index)); }

  // Adds the steps 3 * begin .. 3 * end - 1 to the sums; first: sets them. A function of its own,
  // for the sums to stay in registers.
  template <int kPairs>
  [[gnu::noinline]] static void count(const Indices& indices, int begin, int end,
                                      const uint8_t* filters, bool first,
                                      Bytes (*wide)[kVectors][2]) {
    // The filters of three steps are loaded once for all pairs if there are registers for them
    // besides the sums, three rows, a mask and an x.
    constexpr bool kKeep = 2 * kPairs * kVectors + 3 * kVectors + 5 <= V::kRegisters;
    Bytes all[kPairs][kVectors], second[kPairs][kVectors];
#pragma GCC unroll 16
    for (int i = 0; i < kPairs * kVectors; ++i) {
      all[i / kVectors][i % kVectors] = second[i / kVectors][i % kVectors] = V::zero();
    }
#pragma GCC unroll 1
    for (int i = begin; i < end; ++i, filters += 3 * kBlock) {
      Bytes kept[3][kVectors];
#pragma GCC unroll 16
      for (int j = 0; kKeep && j < 3 * kVectors; ++j) {
        kept[j / kVectors][j % kVectors] = V::pin(V::load(filters + j * V::kBytes));
      }
#pragma GCC unroll 16
      for (int pair = 0; pair < kPairs; ++pair) {
        const uint16_t* index = indices[pair] + 3 * i;
        const Bytes row0 = row(index[0]), row1 = row(index[1]), row2 = row(index[2]);
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) {
          Bytes w[3];
#pragma GCC unroll 3
          for (int j = 0; j < 3; ++j) {
            w[j] = kKeep ? kept[j][v] : V::load(filters + j * kBlock + v * V::kBytes);
          }
          const Bytes x =
              V::add(V::add(V::lookup(row0, w[0]), V::lookup(row1, w[1])), V::lookup(row2, w[2]));
          all[pair][v] = V::pin(V::add(all[pair][v], x));
          second[pair][v] = V::pin(V::add(second[pair][v], V::high_nibbles(x)));
        }
      }
    }
#pragma GCC unroll 16
    for (int p = 0; p < 2 * kPairs; ++p) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        const Bytes high = second[p / 2][v];
        const Bytes sum = p % 2 ? high : V::first_of(all[p / 2][v], high);
        Bytes* to = wide[p][v];
        Bytes sum0 = V::widen_low(sum), sum1 = V::widen_high(sum);
        if (!first) sum0 = V::add_wide(sum0, to[0]), sum1 = V::add_wide(sum1, to[1]);
        to[0] = sum0;
        to[1] = sum1;
      }
    }
  }

  // The sums of the tile whose first pixel is `offset` bytes from pixel 0; `last`: its last pixel,
  // from its first.
  template <int kPairs>
  [[gnu::noinline]] static void add_up(const Window& window, const uint8_t* filters,
                                       ptrdiff_t offset, ptrdiff_t last,
                                       Bytes (*wide)[kVectors][2]) {
    alignas(64) Indices indices;
    Reader<kPairs> reader(window, offset, last);
    const int bytes = window.bytes();
    int done = 0;
    bool first = true;
    do {
      const int chunk_end = done + kChunk < bytes ? done + kChunk : bytes;
      int steps = 0;
      for (; done < chunk_end; done += 8) {
        const int n = chunk_end - done < 8 ? chunk_end - done : 8;
        reader.next(n, indices, steps);
        steps += 2 * n;
      }
#pragma GCC unroll 16
      for (int pair = 0; pair < kPairs; ++pair) {
        indices[pair][steps] = indices[pair][steps + 1] = 0;
      }
      const int triples = (steps + 2) / 3;
      int begin = 0;
      do {
        const int end = begin + kFlush < triples ? begin + kFlush : triples;
        count<kPairs>(indices, begin, end, filters, first, wide);
        first = false;
        filters += size_t(3 * (end - begin)) * kBlock;
        begin = end;
      } while (begin < triples);
    } while (done < bytes);
  }

  // All filters, for pixels x .. end - 1, 2 * kPairs at a time; the last pair may be one pixel.
  template <int kPairs, class Sink>
  static void run_tiles(const ConvShape& shape, const Window& shared_window, const void* prepared,
                        const Sink& shared_sink, int x, int end) {
    const Window window = shared_window;  // copies of its own: no store can alias them
    const Sink sink = shared_sink;
    constexpr int kLanes = Sink::kLanes, kPerVector = V::kBytes / kLanes;
    const int out_c = shape.out_c, per_group = shape.out_c_per_group();
    const int group_bytes = shape.in_c_per_group() / 8;
    const size_t block_bytes = size_t(window.steps()) * kBlock;
    const uint8_t* filters = static_cast<const uint8_t*>(prepared);
    for (int o = 0; o < out_c; o += kBlock, filters += block_bytes) {
      const ptrdiff_t first = ptrdiff_t(o / per_group) * group_bytes;
      for (int at = x; at < end; at += 2 * kPairs) {
        const int pixels = end - at < 2 * kPairs ? 2 * kPairs - 1 : 2 * kPairs;
        Bytes wide[2 * kPairs][kVectors][2];  // sums of 16 bits
        add_up<kPairs>(window, filters, first + at * window.pixel_bytes,
                       (pixels - 1) * window.pixel_bytes, wide);
#pragma GCC unroll 16
        for (int i = 0; i < kVectors * kPerVector; ++i) {
          if (i * kLanes >= out_c - o) break;
          const auto cursor = sink.at(o + i * kLanes, at);
#pragma GCC unroll 16
          for (int p = 0; p < 2 * kPairs; ++p) {
            if (p == pixels) break;
            const Bytes* sums = wide[p][i / kPerVector];
            if constexpr (kPerVector == 1) {
              sink.put(cursor, p, {sums[0], sums[1]});
            } else {
              sink.put(cursor, p, V::part(sums, i % kPerVector));
            }
          }
        }
      }
    }
  }

  template <class Sink>
  using RunTiles = void (*)(const ConvShape&, const Window&, const void*, const Sink&, int, int);

  template <class Sink, int... kPairs>
  static RunTiles<Sink> run_tiles_of(int pairs, std::integer_sequence<int, kPairs...>) {
    constexpr RunTiles<Sink> kRunTiles[] = {run_tiles<kPairs + 1, Sink>...};
    return kRunTiles[pairs - 1];
  }

  template <class Sink>
  static void run(const ConvShape& shape, const void* prepared, const uint64_t* const* in,
                  const Sink& sink) {
    Window window(shape);
    for (int i = 0; i < window.count; ++i) {
      const int per_row = window.count / shape.kernel;
      const uint64_t* row = in[i / per_row] + i % per_row * words_of(shape.in_c);
      window.runs[i] = reinterpret_cast<const char*>(row);
    }
    // As few tiles as possible, of nearly equal numbers of pairs: 7 pairs are 4 + 3.
    const int pairs = (shape.out_w + 1) / 2;
    const int tiles = (pairs + kMaxPairs - 1) / kMaxPairs;
    const int small = pairs / tiles, larger = pairs % tiles;
    constexpr std::make_integer_sequence<int, kMaxPairs> kAll{};
    const int x = larger * (small + 1) * 2;
    if (larger) run_tiles_of<Sink>(small + 1, kAll)(shape, window, prepared, sink, 0, x);
    run_tiles_of<Sink>(small, kAll)(shape, window, prepared, sink, x, shape.out_w);
  }
};

}  // namespace bnn
