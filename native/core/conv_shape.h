// The shape of one convolution step, float or binary, as every kernel sees it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bnn {

// What the epilogue adds to a binary convolution: the float output of the step before, seen as ...
enum class Shortcut : int32_t {
  kNone = 0,
  kIdentity = 1,  // the same shape
  kAvgPool = 2,   // 2x2 mean, stride 2; at odd sizes the mean of the pixels that exist
  kRepeat = 3,    // output channel c reads channel c mod in_c
};

// Words of one pixel of packed channels (bitpack.h holds the bit rule). Always inlined, like all
// of ConvShape: the files compiled for one instruction set must hold no weak copy that the linker
// might keep for everybody.
[[gnu::always_inline]] constexpr int words_of(int channels) { return (channels + 63) / 64; }

struct ConvShape {
  int32_t in_h, in_w, in_c;
  int32_t out_h, out_w, out_c;
  int32_t kernel, stride, groups;
  int32_t pad_top, pad_left;  // TensorFlow's SAME rule, the smaller half first

  [[gnu::always_inline]] int in_c_per_group() const { return in_c / groups; }
  [[gnu::always_inline]] int out_c_per_group() const { return out_c / groups; }
  // Length of one dot product in bits; a binary convolution is K - 2 * acc.
  [[gnu::always_inline]] int k_bits() const { return kernel * kernel * in_c_per_group(); }
  // A packed row stands between `border()` pixels of +1 (zero words) on either side, so no kernel
  // checks bounds.
  [[gnu::always_inline]] int border() const { return kernel / 2; }
  [[gnu::always_inline]] int padded_w() const { return in_w + 2 * border(); }
  // First input row of the window of output row y (may be outside the image), and where the window
  // of output pixel 0 begins in a packed row.
  [[gnu::always_inline]] int window_row(int y) const { return y * stride - pad_top; }
  [[gnu::always_inline]] size_t window_word() const {
    return size_t(border() - pad_left) * words_of(in_c);
  }
};

}  // namespace bnn
