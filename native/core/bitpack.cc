#include "core/bitpack.h"

#include "core/conv_shape.h"

namespace bnn {

void bitpack(const float* x, size_t rows, int channels, uint64_t* words) {
  for (size_t row = 0; row < rows; ++row) {
    for (int begin = 0; begin < channels; begin += 64) {
      const int bits = channels - begin < 64 ? channels - begin : 64;
      uint64_t word = 0;
      for (int i = 0; i < bits; ++i) word |= uint64_t{x[i] < 0.0f} << i;
      *words++ = word;
      x += bits;
    }
  }
}

void bitunpack(const uint64_t* words, size_t rows, int channels, float* x) {
  for (size_t row = 0; row < rows; ++row) {
    for (int c = 0; c < channels; ++c) *x++ = words[c / 64] >> (c % 64) & 1 ? -1.0f : 1.0f;
    words += words_of(channels);
  }
}

}  // namespace bnn
