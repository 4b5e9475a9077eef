// FloatSink (core/epilogue/sink.h) of a block, with the stream in another format.
//
// Format offers
//   Element, Constants (of V::kLanes channels), constants(StreamConstants, c)
//   add(y, p, constants)       y + the shortcut at p
//   store(p, y, constants)
//   kFoldsZeta                 store() adds zeta, thresholds are lower by it
#pragma once

#include <cstddef>

#include "bench/stream_format.h"

namespace bnn {

template <class V, class Format>
class StreamSink {
 public:
  using Sums = typename V::I;
  using F = typename V::F;
  using Element = typename Format::Element;
  static constexpr int kLanes = V::kLanes;

  struct Cursor {
    F scale, bias, beta, zeta, threshold;
    typename Format::Constants stream;
    int c;
    const Element* shortcut;
    Element* values;
    char* bits;
  };

  [[gnu::always_inline]] StreamSink(const ConvShape& shape, const StreamConstants& constants,
                                    const StreamRow& row)
      : constants_(constants),
        row_(row),
        half_k_(V::broadcast(0.5f * float(shape.k_bits()) + 0x1p23f)),
        pixel_values_(shape.out_c),
        pixel_bytes_(ptrdiff_t(words_of(shape.out_c) * sizeof(uint64_t))) {}

  [[gnu::always_inline]] Cursor at(int c, int x) const {
    const EpilogueConstants& epilogue = constants_.epilogue;
    Cursor k;
    const F scale = V::load(epilogue.scale + c, kLanes);
    k.scale = V::add(scale, scale);
    k.bias = V::load(epilogue.bias + c, kLanes);
    k.beta = V::load(epilogue.beta + c, kLanes);
    k.zeta = V::load(epilogue.zeta + c, kLanes);
    k.threshold = V::load(epilogue.threshold + c, kLanes);
    k.stream = Format::constants(constants_, c);
    k.c = c;
    k.shortcut = static_cast<const Element*>(row_.shortcut) + x * pixel_values_ + c;
    k.values = static_cast<Element*>(row_.values) + x * pixel_values_ + c;
    k.bits = reinterpret_cast<char*>(row_.bits) + x * pixel_bytes_ + unsigned(c) / 8;
    // Three registers, and not a pointer of its own for each pixel of a tile.
    __asm__("" : "+r"(k.shortcut), "+r"(k.values), "+r"(k.bits));
    return k;
  }

  [[gnu::always_inline]] static Sums sum_zero() { return V::sum_zero(); }

  [[gnu::always_inline]] void put_sum(const Cursor& k, int p, Sums sum) const {
    F y = V::fma(k.scale, V::difference(half_k_, sum), k.bias);
    y = Format::add(y, k.shortcut + p * pixel_values_, k.stream);
    y = V::max(y, V::mul(k.beta, y));
    if (!Format::kFoldsZeta) y = V::add(y, k.zeta);
    Format::store(k.values + p * pixel_values_, y, k.stream);
    V::store_bits(k.bits + p * pixel_bytes_, k.c, V::less(y, k.threshold));
  }

 private:
  StreamConstants constants_;
  StreamRow row_;
  F half_k_;
  ptrdiff_t pixel_values_, pixel_bytes_;  // from one pixel to the next
};

}  // namespace bnn
