// The epilogue of epilogue.h in registers, for any vector V: a kernel gives V::kLanes channels of
// one pixel and they are finished, stored and packed on the spot.
//
//   FloatSink      y = fma(scale, k_bits - 2*acc, bias), shortcut, RPReLU, floats and bits
//   ThresholdSink  bits acc > threshold
//
// Use: const auto constants = sink.at(c); then sink.put(constants, x, acc) for the pixels of a
// tile: the constants stay in registers.
//
// V offers (n <= kLanes elements are read or written, never more; lanes past n are 0 after load):
//   kLanes, F, I
//   load(p, n), load_int(p, n), store(p, v, n), broadcast(x), broadcast_int(x)
//   add, mul, fma(a, b, c) = a * b + c
//   dot(k, acc)                      float(k - 2 * acc)
//   if_positive(a, yes, no)          a > 0 ? yes : no
//   less(a, b), greater_int(a, b)    one bit per lane
//   store_bits(byte, c, bits)        bits of channels c .. c + kLanes - 1, in the byte of channel c
// Templates over a V of an anonymous namespace are local to their file: no weak symbols.
#pragma once

#include "core/epilogue/epilogue.h"

namespace bnn {

template <class V>
class FloatSink {
 public:
  using Sums = typename V::I;

  struct Constants {
    typename V::F scale, bias, beta, zeta, threshold;
    int c, n;
    const float* shortcut;  // channel c of pixel 0
  };

  [[gnu::always_inline]] FloatSink(const ConvShape& shape, const EpilogueConstants& constants,
                                   const ShortcutRow& shortcut, const RowOutput& out)
      : constants_(constants),
        shortcut_(shortcut),
        out_(out),
        k_(V::broadcast_int(shape.k_bits())),
        channels_(shape.out_c),
        pixel_bytes_(size_t(words_of(shape.out_c)) * sizeof(uint64_t)) {}

  // Of the channels c .. c + kLanes - 1, as far as there are any; c is a multiple of kLanes.
  [[gnu::always_inline]] Constants at(int c) const {
    // One by one: clearing the whole struct goes through memory, a microcoded loop per tile.
    Constants k;
    k.c = c;
    k.n = channels_ - c < V::kLanes ? channels_ - c : V::kLanes;
    k.shortcut = nullptr;
    k.scale = k.bias = k.beta = k.zeta = k.threshold = V::broadcast(0.0f);
    if (constants_.scale) {
      k.scale = V::load(constants_.scale + c, V::kLanes);
      k.bias = V::load(constants_.bias + c, V::kLanes);
    }
    if (constants_.beta) {
      k.beta = V::load(constants_.beta + c, V::kLanes);
      k.zeta = V::load(constants_.zeta + c, V::kLanes);
    }
    if (out_.bits) k.threshold = V::load(constants_.threshold + c, V::kLanes);
    if (shortcut_.values) {
      int from = c;
      if (shortcut_.channels != channels_) from %= shortcut_.channels;
      k.shortcut = shortcut_.values + from;
    }
    return k;
  }

  [[gnu::always_inline]] void put(const Constants& k, int x, Sums acc) const {
    put_value(k, x, V::fma(k.scale, V::dot(k_, acc), k.bias));
  }

  [[gnu::always_inline]] void put_value(const Constants& k, int x, typename V::F y) const {
    if (shortcut_.values) y = V::add(y, V::load(k.shortcut + size_t(x) * shortcut_.channels, k.n));
    if (constants_.beta) y = V::add(V::if_positive(y, y, V::mul(k.beta, y)), k.zeta);
    if (out_.values) V::store(out_.values + size_t(x) * channels_ + k.c, y, k.n);
    if (out_.bits) {
      char* pixel = reinterpret_cast<char*>(out_.bits) + size_t(x) * pixel_bytes_;
      V::store_bits(pixel + unsigned(k.c) / 8, k.c, V::less(y, k.threshold));
    }
  }

 private:
  const EpilogueConstants constants_;
  const ShortcutRow shortcut_;
  const RowOutput out_;
  const typename V::I k_;
  const int channels_;
  const size_t pixel_bytes_;
};

template <class V>
class ThresholdSink {
 public:
  using Sums = typename V::I;

  struct Constants {
    typename V::I threshold;
    int c;
  };

  // threshold: [padded_channels(out_c)], the last ones INT32_MAX
  [[gnu::always_inline]] ThresholdSink(const ConvShape& shape, const int32_t* threshold,
                                       uint64_t* bits)
      : threshold_(threshold),
        bits_(reinterpret_cast<char*>(bits)),
        pixel_bytes_(size_t(words_of(shape.out_c)) * sizeof(uint64_t)) {}

  [[gnu::always_inline]] Constants at(int c) const {
    return {V::load_int(threshold_ + c, V::kLanes), c};
  }

  [[gnu::always_inline]] void put(const Constants& k, int x, Sums acc) const {
    V::store_bits(bits_ + size_t(x) * pixel_bytes_ + k.c / 8, k.c,
                  V::greater_int(acc, k.threshold));
  }

 private:
  const int32_t* threshold_;
  char* bits_;
  const size_t pixel_bytes_;
};

}  // namespace bnn
