// Packed channels as Larq Compute Engine's files have them: 32-bit words, a pixel's channels from
// the first bit of a word on. On little-endian machines two such words are one of the engine's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "doors/litert/graph.h"

namespace bnn::litert {

// `count` bits of `words` from bit `first` on, at bit 0 of to[0 .. words32_of(count) - 1]; the bits
// past them are 0.
inline void copy_bits(const uint32_t* words, int first, int count, uint32_t* to) {
  const int whole = words32_of(count), shift = first % 32;
  words += first / 32;
  if (shift == 0) {
    std::memcpy(to, words, size_t(whole) * sizeof *to);
  } else {
    for (int i = 0; i < whole; ++i) {
      to[i] = words[i] >> shift;
      const bool more = count - 32 * i > 32 - shift;
      if (more) to[i] |= words[i + 1] << (32 - shift);
    }
  }
  if (count % 32) to[whole - 1] &= ~(~uint32_t(0) << (count % 32));
}

}  // namespace bnn::litert
