// Sums that a kernel leaves in memory, in pieces of 16 bytes, on their way to the sink: a chunk of
// vectors of pixels shares the loads of the epilogue's constants.
//
//   pieces[vector][row i][chunk q of 16 bytes] is piece q * kRows + i of the vector
//
// A piece holds 16 channels as uint8, or 8 of 16 as uint16.
#pragma once

#include "core/bconv2d/bconv2d.h"
#include "core/epilogue/sink.h"

namespace bnn {

// Which pieces of a vector belong to one of its pixels.
struct PixelPieces {
  unsigned first, count;  // pieces
  int channel;            // the first
};

// V offers Floats and widen8(p), widen16(p). kRowBytes: of one row of pieces. The vectors stand for
// the pixels x, x + 1, .. of `shared_sink`.
template <class V, int kRows, int kRowBytes, bool kBytes, class Sink>
[[gnu::noinline]] void put_pieces(const Sink& shared_sink, const char* pieces,
                                  const PixelPieces& pixel, int x, int vectors) {
  using Floats = typename V::Floats;
  constexpr int kVectorBytes = kRows * kRowBytes, kChannels = kBytes ? 16 : 8;
  constexpr int kTogether = 7;  // rows of a network for images of 224 pixels are multiples of it
  const Sink sink = shared_sink;
  const auto widen = [](const char* at) __attribute__((always_inline)) {
    if constexpr (kBytes) {
      return V::widen8(at);
    } else {
      return V::widen16(at);
    }
  };
  int channel = pixel.channel;
  const unsigned end = pixel.first + pixel.count;
  for (unsigned piece = pixel.first; piece != end; ++piece, channel += 16) {
    const char* at = pieces + piece % kRows * kRowBytes + piece / kRows * 16;
#pragma GCC unroll 4
    for (int part = 0; part < kChannels; part += Floats::kLanes) {
      if (!sink.has(channel + part)) return;
      const char* from = at + part;
      int i = 0;
      for (; i + kTogether <= vectors; i += kTogether, from += kTogether * kVectorBytes) {
        const auto cursor = sink.at(channel + part, x + i);
#pragma GCC unroll 8
        for (int j = 0; j < kTogether; ++j) sink.put(cursor, j, widen(from + j * kVectorBytes));
      }
      if (i == vectors) continue;
      const auto cursor = sink.at(channel + part, x + i);
#pragma GCC unroll 1
      for (int j = 0; j < vectors - i; ++j) sink.put(cursor, j, widen(from + j * kVectorBytes));
    }
  }
}

}  // namespace bnn
