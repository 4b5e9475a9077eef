// The epilogue of one row, for any vector V of floats. The ISA files include it and pick V
// (core/simd/).
//
//   for each pixel x of the row, for each vector of channels c:
//     y = scale * float(k_bits - 2 * acc) + bias              or the float row itself
//     y += shortcut
//     y = y > gamma ? (y - gamma) + zeta : beta * (y - gamma) + zeta
//     store y;  collect the bits y < threshold, store them when 64 are together
//
// V offers (n <= kLanes elements are read or written, never more; lanes past n hold anything):
//   kLanes, F, I
//   load(p, n), load_int(p, n), store(p, v, n), broadcast(x), add, sub, mul
//   dot(k_bits, acc)             float(k_bits - 2 * acc)
//   if_greater(a, b, yes, no)    a > b ? yes : no
//   less(a, b), greater_int(a, b)    one bit per lane
// Templates over a V of an anonymous namespace are local to their file: no weak symbols.
#pragma once

#include "core/epilogue/epilogue.h"

namespace bnn {

// One ISA's versions of the row functions of epilogue.h.
struct EpilogueRows {
  void (*binary)(const ConvShape&, Shortcut, const EpilogueConstants&, const int32_t* acc,
                 const float* shortcut_values, int y, const EpilogueOutput&);
  void (*real)(const ConvShape&, const EpilogueConstants&, const float* row, int y,
               const EpilogueOutput&);
  void (*threshold)(const ConvShape&, const int32_t* threshold, const int32_t* acc, int y,
                    uint64_t* bits, int border);
};

// The float tensor that the shortcut reads, as seen from one output pixel.
template <class V, Shortcut kShortcut>
struct ShortcutPixel {
  const float* corner[4];  // kAvgPool: the pixels that exist; otherwise only the first
  int corners;
  int in_c;

  ShortcutPixel(const ConvShape& shape, const float* values, int y, int x) : in_c(shape.in_c) {
    const int top = kShortcut == Shortcut::kAvgPool ? 2 * y : y;
    const int left = kShortcut == Shortcut::kAvgPool ? 2 * x : x;
    corners = 0;
    if constexpr (kShortcut == Shortcut::kAvgPool) {
      for (int cy = top; cy < top + 2 && cy < shape.in_h; ++cy) {
        for (int cx = left; cx < left + 2 && cx < shape.in_w; ++cx) {
          corner[corners++] = values + (size_t(cy) * shape.in_w + cx) * in_c;
        }
      }
    } else if constexpr (kShortcut != Shortcut::kNone) {
      corner[0] = values + (size_t(top) * shape.in_w + left) * in_c;
    }
  }

  // Channels c .. c+n-1. The order of the additions is part of the contract (epilogue.h).
  typename V::F load(int c, int n) const {
    if constexpr (kShortcut == Shortcut::kRepeat) {
      const int from = c % in_c;
      if (from + n <= in_c) return V::load(corner[0] + from, n);
      float lanes[V::kLanes];
      for (int i = 0; i < n; ++i) lanes[i] = corner[0][(c + i) % in_c];
      return V::load(lanes, n);
    }
    const typename V::F first = V::load(corner[0] + c, n);
    if (kShortcut != Shortcut::kAvgPool || corners == 1) return first;
    const typename V::F upper = V::add(first, V::load(corner[1] + c, n));
    if (corners == 2) return V::mul(upper, V::broadcast(0.5f));
    const typename V::F lower = V::add(V::load(corner[2] + c, n), V::load(corner[3] + c, n));
    return V::mul(V::add(upper, lower), V::broadcast(0.25f));
  }
};

namespace {  // no weak symbols

// Collects the bits of one pixel, a vector at a time, and writes whole words (tail bits 0).
struct BitWriter {
  uint64_t* words;
  uint64_t word = 0;

  explicit BitWriter(uint64_t* first) : words(first) {}

  void put(uint64_t bits, int c, int n) {  // n bits: those of the channels c .. c+n-1
    word |= (bits & (~uint64_t{0} >> (64 - n))) << (c % 64);
  }
  void flush_if_full(int c_end, int channels) {
    if (c_end % 64 != 0 && c_end != channels) return;
    *words++ = word;
    word = 0;
  }
};

inline uint64_t* first_bit_word(const ConvShape& shape, uint64_t* bits, int border, int y) {
  const size_t row = size_t(y) + border;
  return bits + (row * (shape.out_w + 2 * border) + border) * words_of(shape.out_c);
}

}  // namespace

template <class V, Shortcut kShortcut, bool kRprelu, class Source>
void epilogue_row_with(const ConvShape& shape, const EpilogueConstants& k, const Source* source,
                       const float* shortcut_values, int y, const EpilogueOutput& out) {
  constexpr bool kBinary = Source(0.5f) == 0;  // int32 sums, or a float row
  const EpilogueConstants constants =
      k;  // its address is not shared, so the pointers stay in registers
  const int channels = shape.out_c, k_bits = shape.k_bits();
  float* values = out.values ? out.values + size_t(y) * shape.out_w * channels : nullptr;
  uint64_t* bits = out.bits ? first_bit_word(shape, out.bits, out.border, y) : nullptr;
  for (int x = 0; x < shape.out_w; ++x) {
    const ShortcutPixel<V, kShortcut> shortcut(shape, shortcut_values, y, x);
    BitWriter writer(bits);
    const auto step = [&](int c, int n) __attribute__((always_inline)) {
      typename V::F v;
      if constexpr (kBinary) {
        v = V::mul(V::load(constants.scale + c, n), V::dot(k_bits, V::load_int(source + c, n)));
        v = V::add(v, V::load(constants.bias + c, n));
      } else {
        v = V::load(source + c, n);
      }
      if constexpr (kShortcut != Shortcut::kNone) v = V::add(v, shortcut.load(c, n));
      if constexpr (kRprelu) {
        const typename V::F gamma = V::load(constants.gamma + c, n);
        const typename V::F d = V::sub(v, gamma);
        const typename V::F slope = V::mul(V::load(constants.beta + c, n), d);
        v = V::add(V::if_greater(v, gamma, d, slope), V::load(constants.zeta + c, n));
      }
      if (values) V::store(values + c, v, n);
      if (bits) {
        writer.put(V::less(v, V::load(constants.threshold + c, n)), c, n);
        writer.flush_if_full(c + n, channels);
      }
    };
    int c = 0;
    for (; c + V::kLanes <= channels; c += V::kLanes) step(c, V::kLanes);
    if (c < channels) step(c, channels - c);
    source += channels;
    if (values) values += channels;
    if (bits) bits += words_of(channels);
  }
}

template <class V, Shortcut kShortcut, class Source>
void epilogue_row_rprelu(const ConvShape& shape, const EpilogueConstants& constants,
                         const Source* source, const float* shortcut_values, int y,
                         const EpilogueOutput& out) {
  if (constants.gamma) {
    epilogue_row_with<V, kShortcut, true>(shape, constants, source, shortcut_values, y, out);
  } else {
    epilogue_row_with<V, kShortcut, false>(shape, constants, source, shortcut_values, y, out);
  }
}

template <class V>
void binary_row(const ConvShape& shape, Shortcut shortcut, const EpilogueConstants& constants,
                const int32_t* acc, const float* values, int y, const EpilogueOutput& out) {
  switch (shortcut) {
    case Shortcut::kNone:
      return epilogue_row_rprelu<V, Shortcut::kNone>(shape, constants, acc, values, y, out);
    case Shortcut::kIdentity:
      return epilogue_row_rprelu<V, Shortcut::kIdentity>(shape, constants, acc, values, y, out);
    case Shortcut::kAvgPool:
      return epilogue_row_rprelu<V, Shortcut::kAvgPool>(shape, constants, acc, values, y, out);
    case Shortcut::kRepeat:
      return epilogue_row_rprelu<V, Shortcut::kRepeat>(shape, constants, acc, values, y, out);
  }
}

template <class V>
void real_row(const ConvShape& shape, const EpilogueConstants& constants, const float* row, int y,
              const EpilogueOutput& out) {
  epilogue_row_rprelu<V, Shortcut::kNone>(shape, constants, row, nullptr, y, out);
}

template <class V>
void compare_row(const ConvShape& shape, const int32_t* threshold, const int32_t* acc, int y,
                 uint64_t* bits, int border) {
  uint64_t* pixel = first_bit_word(shape, bits, border, y);
  const int channels = shape.out_c;
  for (int x = 0; x < shape.out_w; ++x, acc += channels, pixel += words_of(channels)) {
    BitWriter writer(pixel);
    const auto step = [&](int c, int n) __attribute__((always_inline)) {
      writer.put(V::greater_int(V::load_int(acc + c, n), V::load_int(threshold + c, n)), c, n);
      writer.flush_if_full(c + n, channels);
    };
    int c = 0;
    for (; c + V::kLanes <= channels; c += V::kLanes) step(c, V::kLanes);
    if (c < channels) step(c, channels - c);
  }
}

}  // namespace bnn
