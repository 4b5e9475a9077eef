// THE bit rule, written here once; every ISA and every file format obeys it.
//   Bit i of 64-bit word w is channel 64*w + i, least significant first.  bit = (x < 0): 0.0 and
//   -0.0 are +1 (bit 0). Bits past the last channel are 0.  Padding is +1, i.e. zero words.  NaN is
//   outside the contract.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bnn {

// words[r, :] = packed signs of x[r, :];  x: [rows, channels] float32, words: [rows,
// words_of(channels)] uint64. Row-major, contiguous, any alignment. Reads and writes nothing past
// the end.
void bitpack(const float* x, size_t rows, int channels, uint64_t* words);

// x[r, :] = +1.0 or -1.0 for each bit of words[r, :]; the inverse of bitpack on +-1 data.
void bitunpack(const uint64_t* words, size_t rows, int channels, float* x);

}  // namespace bnn
