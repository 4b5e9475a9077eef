// The epilogue of epilogue.h in registers, for any vector V: a kernel gives V::kLanes channels of
// one pixel and they are finished, stored and packed on the spot.
//
//   FloatSink      y = fma(scale, k_bits - 2*acc, bias), shortcut, RPReLU, floats and bits
//   ThresholdSink  bits acc > threshold
//
// Use: const auto cursor = sink.at(c, x); then sink.put(cursor, p, acc) for the pixels x + p of a
// tile: the constants of channels c .. c + kLanes - 1 stay in registers.
//
// V offers (n <= kLanes elements are read or written, never more; lanes past n are 0 after load):
//   kLanes, F, I
//   load(p, n), load_int(p, n), store(p, v, n), broadcast(x), zero() (an I)
//   add, mul, fma(a, b, c) = a * b + c
//   half_dot(half_k, acc)            half_k - float(acc)
//   prelu(beta, y)                   y > 0 ? y : beta * y
//   max(a, b), min(a, b)             a > b ? a : b, a < b ? a : b
//   kFloatSums: sums may stand in the mantissa of a float: sum_zero() is 2^23 as its bits, to which
//   kernels add; as_float_sum(acc) puts a plain sum there; difference(x, sum) = x - sum as floats
//   less(a, b), greater_int(a, b)    one bit per lane
//   store_bits(byte, c, bits)        bits of channels c .. c + kLanes - 1, in the byte of channel c
// Templates over a V of an anonymous namespace are local to their file: no weak symbols.
#pragma once

#include <cstddef>

#include "core/epilogue/epilogue.h"

namespace bnn {

// What a float epilogue has; kBlock is the one of every inner layer of a network and has no
// branches: shortcut, RPReLU with slopes up to 1, floats and bits, an even k_bits that fits the
// mantissa beside 2^23, no channel tail.
enum class EpilogueKind { kAny, kBlock };

template <class V>
[[gnu::always_inline]] inline bool is_block(const ConvShape& shape,
                                            const EpilogueConstants& constants,
                                            const ShortcutRow& shortcut, const RowOutput& out) {
  return constants.beta && constants.beta_at_most_one && shortcut.values && out.values &&
         out.bits && shape.out_c % V::kLanes == 0 && shape.k_bits() % 2 == 0 &&
         shape.k_bits() < 1 << 23;
}

template <class V, EpilogueKind kKind>
class FloatSink {
 public:
  using Sums = typename V::I;
  static constexpr int kLanes = V::kLanes;
  using F = typename V::F;
  // Whether kernels that hold int32 sums start them at sum_zero(), which saves their conversion.
  static constexpr bool kFloatSums = kKind == EpilogueKind::kBlock && V::kFloatSums;

  struct Cursor {
    F scale, bias, beta, zeta, threshold;
    int c, n;
    const float* shortcut;  // channel c of pixel x, null if there is none; likewise
    float* values;
    char* bits;
    bool rprelu;
  };

  [[gnu::always_inline]] FloatSink(const ConvShape& shape, const EpilogueConstants& constants,
                                   const ShortcutRow& shortcut, const RowOutput& out)
      : constants_(constants),
        shortcut_(shortcut),
        out_(out),
        half_k_(V::broadcast(0.5f * float(shape.k_bits()) + (kFloatSums ? 0x1p23f : 0.0f))),
        channels_(shape.out_c),
        pixel_values_(shape.out_c),
        pixel_bytes_(ptrdiff_t(words_of(shape.out_c) * sizeof(uint64_t))),
        pixel_shortcuts_(shortcut.channels) {}

  // The sink of every `step`-th pixel from pixel x on.
  [[gnu::always_inline]] FloatSink every(int step, int x) const {
    FloatSink some = *this;
    some.out_.values += out_.values ? x * pixel_values_ : 0;
    some.out_.bits += out_.bits ? x * pixel_bytes_ / ptrdiff_t(sizeof(uint64_t)) : 0;
    some.shortcut_.values += shortcut_.values ? x * pixel_shortcuts_ : 0;
    some.pixel_values_ *= step;
    some.pixel_bytes_ *= step;
    some.pixel_shortcuts_ *= step;
    return some;
  }

  [[gnu::always_inline]] bool has(int channel) const { return channel < channels_; }

  // Channels c .. c + kLanes - 1, as far as there are any, of pixel x; c is a multiple of kLanes.
  [[gnu::always_inline]] Cursor at(int c, int x) const {
    constexpr bool kAll = kKind == EpilogueKind::kBlock;
    const auto constant = [c](const float* from) __attribute__((always_inline)) {
      return kAll || from ? V::load(from + c, V::kLanes) : V::broadcast(0.0f);
    };
    Cursor k;  // every member is set: zeroing it first would cost more than a tile's epilogue
    k.c = c;
    k.n = channels_ - c < V::kLanes ? channels_ - c : V::kLanes;
    const F scale = constant(constants_.scale);
    k.scale = V::add(scale, scale);
    k.bias = constant(constants_.bias);
    k.rprelu = constants_.beta != nullptr;
    k.beta = constant(constants_.beta);
    k.zeta = constant(constants_.zeta);
    k.threshold = constant(constants_.threshold);
    k.bits = nullptr;
    k.values = nullptr;
    k.shortcut = nullptr;
    if (kAll || out_.bits) {
      k.bits = reinterpret_cast<char*>(out_.bits) + x * pixel_bytes_ + unsigned(c) / 8;
    }
    if (kAll || out_.values) k.values = out_.values + x * pixel_values_ + c;
    if (kAll || shortcut_.values) {
      const int from = shortcut_.channels != channels_ ? c % shortcut_.channels : c;
      k.shortcut = shortcut_.values + x * pixel_shortcuts_ + from;
    }
    return k;
  }

  // y = fma(scale, k_bits - 2*acc, bias), written as fma(2*scale, k_bits/2 - acc, bias): both
  // factors are exact, so it is the same number.
  [[gnu::always_inline]] void put(const Cursor& k, int p, Sums acc) const {
    if constexpr (kFloatSums) {
      put_sum(k, p, V::as_float_sum(acc));
    } else {
      put_value(k, p, V::fma(k.scale, V::half_dot(half_k_, acc), k.bias));
    }
  }

  // As put(), of a sum that was started by sum_zero().
  [[gnu::always_inline]] static Sums sum_zero() {
    if constexpr (kFloatSums) return V::sum_zero();
    return V::zero();
  }
  [[gnu::always_inline]] void put_sum(const Cursor& k, int p, Sums sum) const {
    if constexpr (kFloatSums) {
      put_value(k, p, V::fma(k.scale, V::difference(half_k_, sum), k.bias));
    } else {
      put(k, p, sum);
    }
  }

  [[gnu::always_inline]] void put_value(const Cursor& k, int p, F y) const {
    constexpr bool kAll = kKind == EpilogueKind::kBlock;
    const int n = kAll ? V::kLanes : k.n;
    if (kAll || k.shortcut) {
      y = V::add(y, V::load(k.shortcut + p * pixel_shortcuts_, n));
    }
    if (kAll) {
      y = V::add(V::max(y, V::mul(k.beta, y)), k.zeta);
    } else if (k.rprelu) {
      y = V::add(V::prelu(k.beta, y), k.zeta);
    }
    if (kAll || k.values) V::store(k.values + p * pixel_values_, y, n);
    if (kAll || k.bits) {
      V::store_bits(k.bits + p * pixel_bytes_, k.c, V::less(y, k.threshold));
    }
  }

 private:
  EpilogueConstants constants_;
  ShortcutRow shortcut_;
  RowOutput out_;
  F half_k_;
  int channels_;
  ptrdiff_t pixel_values_, pixel_bytes_, pixel_shortcuts_;  // from one pixel to the next
};

template <class V>
class ThresholdSink {
 public:
  using Sums = typename V::I;
  static constexpr int kLanes = V::kLanes;

  struct Cursor {
    typename V::I threshold;
    char* bits;
    int c;
  };

  // threshold: [padded_channels(out_c)], the last ones INT32_MAX
  [[gnu::always_inline]] ThresholdSink(const ConvShape& shape, const int32_t* threshold,
                                       uint64_t* bits)
      : threshold_(threshold),
        bits_(reinterpret_cast<char*>(bits)),
        channels_(shape.out_c),
        pixel_bytes_(ptrdiff_t(words_of(shape.out_c) * sizeof(uint64_t))) {}

  [[gnu::always_inline]] ThresholdSink every(int step, int x) const {
    ThresholdSink some = *this;
    some.bits_ += x * pixel_bytes_;
    some.pixel_bytes_ *= step;
    return some;
  }

  [[gnu::always_inline]] bool has(int channel) const { return channel < channels_; }

  [[gnu::always_inline]] Cursor at(int c, int x) const {
    return {V::load_int(threshold_ + c, V::kLanes), bits_ + x * pixel_bytes_ + unsigned(c) / 8, c};
  }

  [[gnu::always_inline]] static Sums sum_zero() { return V::zero(); }
  [[gnu::always_inline]] void put_sum(const Cursor& k, int p, Sums sum) const { put(k, p, sum); }

  [[gnu::always_inline]] void put(const Cursor& k, int p, Sums acc) const {
    V::store_bits(k.bits + p * pixel_bytes_, k.c, V::greater_int(acc, k.threshold));
  }

 private:
  const int32_t* threshold_;
  char* bits_;
  int channels_;
  ptrdiff_t pixel_bytes_;
};

// use(sink) with the FloatSink that fits.
template <class V, class Use>
[[gnu::always_inline]] inline void with_float_sink(const ConvShape& shape,
                                                   const EpilogueConstants& constants,
                                                   const ShortcutRow& shortcut,
                                                   const RowOutput& out, const Use& use) {
  if (is_block<V>(shape, constants, shortcut, out)) {
    use(FloatSink<V, EpilogueKind::kBlock>(shape, constants, shortcut, out));
  } else {
    use(FloatSink<V, EpilogueKind::kAny>(shape, constants, shortcut, out));
  }
}

}  // namespace bnn
