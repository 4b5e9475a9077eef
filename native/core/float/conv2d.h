// One row of a float convolution for any vector V of floats (kernels.h). Lane = output channel.
//
//   for each block (blocks.h), for each V::kVectors vectors of it, for each tile of output pixels:
//     for each tap inside the image, for each input channel i, for each pixel p, for each vector v:
//       sum[p][v] += input[p, tap, i] * weights[tap, i, v]
//     the sink finishes sum[p][v]
//
// Where a block reads all channels, the taps of a row are one run of values. A pixel whose window
// is cut by the left or right edge is a tile of its own with fewer taps.
#pragma once

#include <utility>

#include "core/epilogue/sink.h"
#include "core/float/blocks.h"

namespace bnn {
namespace {

// p, of which the compiler knows nothing: it computes addresses from it where they are needed. Else
// it keeps one register per pixel and spills the rest to vector registers, whose moves wait for
// the FMAs in flight.
template <class T>
[[gnu::always_inline]] inline const T* opaque(const T* p) {
  __asm__("" : "+r"(p));
  return p;
}

// What the tiles of a row share.
struct ConvRow {
  const ConvShape& shape;
  const EpilogueConstants& constants;
  const RowOutput& out;
};

// What a tile reads.
struct ConvWindow {
  const float* const* rows;  // [count] input rows, null outside the image
  ptrdiff_t first;           // from a row's begin to the first value of the tile's first pixel
  int count, runs, run;      // tap rows; runs of values per tap row; length of a run
  size_t run_step;           // values from the end of one run to the next
  size_t pixel_step;         // values from one output pixel to the next
  const float* bias;         // of the first vector
  const float* weights;      // of the first vector and the first tap
  size_t lanes;              // from the weights of one value to those of the next
  size_t row_weights;        // from the weights of one tap row to those of the next
};

template <class V, int kPixels, int kVectors>
void conv2d_tile(const ConvWindow& window, const ConvRow& row, int x, int o) {
  const size_t lanes = window.lanes, step = window.pixel_step;
  typename V::F sum[kPixels][kVectors];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    const typename V::F bias = V::load(window.bias + v * V::kLanes, V::kLanes);
#pragma GCC unroll 16
    for (int p = 0; p < kPixels; ++p) sum[p][v] = bias;
  }
  for (int ky = 0;; ++ky) {
    const ConvWindow& w = *opaque(&window);
    if (ky == w.count) break;
    if (!w.rows[ky]) continue;
    const float* in = w.rows[ky] + w.first;
    const float* weights = w.weights + size_t(ky) * w.row_weights;
    for (int kx = 0; kx < w.runs; ++kx) {
      for (const float* end = in + w.run; in != end; ++in, weights += lanes) {
        typename V::F weight[kVectors];
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) {
          weight[v] = V::load(weights + v * V::kLanes, V::kLanes);
        }
        const float* pixel = in;
#pragma GCC unroll 16
        for (int p = 0; p < kPixels; ++p) {
          if (p != 0 && p % 3 == 0) pixel = opaque(pixel + 3 * step);
          const float a = pixel[size_t(p % 3) * step];
#pragma GCC unroll 16
          for (int v = 0; v < kVectors; ++v) sum[p][v] = V::mul_add(a, weight[v], sum[p][v]);
        }
      }
      in += w.run_step;
    }
  }
  // A sink of its own, field by field: it stays in registers, whatever the stores may alias.
  const EpilogueConstants& from = row.constants;
  const FloatSink<V, EpilogueKind::kAny> sink(
      row.shape, {nullptr, nullptr, from.beta, from.zeta, from.threshold, false}, {},
      {row.out.values, row.out.bits});
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    const auto cursor = sink.at(o + v * V::kLanes, x);
#pragma GCC unroll 16
    for (int p = 0; p < kPixels; ++p) sink.put_value(cursor, p, sum[p][v]);
  }
}

template <class V>
using ConvTile = void (*)(const ConvWindow&, const ConvRow&, int x, int o);

template <class V, int kVectors, int... kPixels>
ConvTile<V> conv2d_tile_of(int pixels, std::integer_sequence<int, kPixels...>) {
  constexpr ConvTile<V> kTiles[] = {conv2d_tile<V, kPixels + 1, kVectors>...};
  return kTiles[pixels - 1];
}

// The output pixels begin .. end - 1 of a row have their windows inside the image. They are cut
// into as few tiles as possible: of `small` pixels, the first `larger` ones of a pixel more, so 9
// pixels are 5 + 4 and not 7 + 2.
struct Inside {
  int begin, end;
  int tiles, small, larger;
};

template <class V>
Inside inside_of(const ConvShape& s) {
  Inside inside = {};
  const int begin = (s.pad_left + s.stride - 1) / s.stride;
  const int last_left = s.in_w + s.pad_left - s.kernel;  // of a window inside, in padded pixels
  const int end = last_left < 0 ? 0 : last_left / s.stride + 1;
  inside.begin = begin < s.out_w ? begin : s.out_w;
  inside.end = end > s.out_w ? s.out_w : end > inside.begin ? end : inside.begin;
  const int pixels = inside.end - inside.begin;
  inside.tiles = (pixels + V::kPixels - 1) / V::kPixels;
  if (inside.tiles == 0) return inside;
  inside.small = pixels / inside.tiles;
  inside.larger = pixels % inside.tiles;
  return inside;
}

template <class V, int kVectors>
void conv2d_vectors(const ConvRow& row, const Inside& inside, const ConvBlock& block,
                    const float* const* in, const float* weights, const float* bias, int o) {
  const ConvShape& shape = row.shape;
  const size_t tap_weights = size_t(block.span) * size_t(block.lanes);
  const bool whole = block.span == shape.in_c;
  const auto window_of = [&](int x, int taps_from, int taps_to) {
    ConvWindow window;
    window.rows = in;
    window.first =
        ptrdiff_t(x * shape.stride - shape.pad_left + taps_from) * shape.in_c + block.from;
    window.count = shape.kernel;
    window.runs = whole ? 1 : taps_to - taps_from;
    window.run = whole ? (taps_to - taps_from) * block.span : block.span;
    window.run_step = size_t(shape.in_c - block.span);
    window.pixel_step = size_t(shape.stride) * size_t(shape.in_c);
    window.bias = bias;
    window.weights = weights + size_t(taps_from) * tap_weights;
    window.lanes = size_t(block.lanes);
    window.row_weights = size_t(shape.kernel) * tap_weights;
    return window;
  };
  const auto edge = [&](int x) {
    const int left = x * shape.stride - shape.pad_left;
    const int from = left < 0 ? -left : 0;
    const int to = left + shape.kernel > shape.in_w ? shape.in_w - left : shape.kernel;
    conv2d_tile<V, 1, kVectors>(window_of(x, from, to), row, x, o);
  };
  for (int x = 0; x < inside.begin; ++x) edge(x);
  if (inside.tiles) {
    constexpr std::make_integer_sequence<int, V::kPixels> kAll{};
    const ConvTile<V> small_tile = conv2d_tile_of<V, kVectors>(inside.small, kAll);
    const ConvTile<V> large_tile =
        inside.larger ? conv2d_tile_of<V, kVectors>(inside.small + 1, kAll) : small_tile;
    ConvWindow window = window_of(inside.begin, 0, shape.kernel);
    for (int i = 0, x = inside.begin; i < inside.tiles; ++i) {
      (i < inside.larger ? large_tile : small_tile)(window, row, x, o);
      const int pixels = inside.small + int(i < inside.larger);
      x += pixels;
      window.first += ptrdiff_t(pixels * window.pixel_step);
    }
  }
  for (int x = inside.end; x < shape.out_w; ++x) edge(x);
}

template <class V>
void conv2d_row_with(const ConvShape& shape, const float* const* in, const float* prepared,
                     const EpilogueConstants& constants, const RowOutput& out) {
  const ConvRow row = {shape, constants, out};
  const Inside inside = inside_of<V>(shape);
  for (int first = 0; first < shape.out_c;) {
    const ConvBlock block = conv_block(shape, first);
    for (int o = 0; o < block.outputs;) {
      if (block.outputs - o > (V::kVectors - 1) * V::kLanes) {
        conv2d_vectors<V, V::kVectors>(row, inside, block, in, prepared + o,
                                       constants.bias + first + o, first + o);
        o += V::kVectors * V::kLanes;
      } else {
        conv2d_vectors<V, 1>(row, inside, block, in, prepared + o, constants.bias + first + o,
                             first + o);
        o += V::kLanes;
      }
    }
    prepared += block_weights(shape, block);
    first += block.outputs;
  }
}

}  // namespace
}  // namespace bnn
