// The real-valued steps for any vector V of floats. The ISA files include it and pick V
// (core/simd/).
//
// V offers (n <= kLanes elements are read or written, never more; lanes past n are 0 after load):
//   kLanes, F;  load(p, n), store(p, v, n), broadcast(x);  fma(a, b, c) = a * b + c; sum(v)
// Templates over a V of an anonymous namespace are local to their file: no weak symbols.
#pragma once

#include "core/epilogue/sink.h"
#include "core/float/float_ops.h"

namespace bnn {

// One ISA's versions of the functions of float_ops.h.
struct FloatKernels {
  void (*conv2d_row)(const ConvShape&, const float* const* in, const float* prepared,
                     const EpilogueConstants&, const RowOutput&);
  void (*linear)(const float* input, const float* weights, const float* bias, int in_c, int out_c,
                 float* out);
};

// What a tile of output pixels of one row shares.
struct ConvTile {
  const ConvShape* shape;
  const float* const* in;  // [kernel] input rows, null outside the image
  int from;                // the group's first input channel
  const float*
      weights;  // [kernel, kernel, in_c_per_group, out_c_per_group] from output channel `o` on
  const float* bias;  // of output channel o
  int o, channels;    // output channels left
};

// out[p, :] for the kPixels output pixels from x on, kVectors vectors of output channels:
//   for each tap inside the image, for each input channel i:  sum[p, :] += input[p, tap, i] *
//   weights[tap, i, :]
// Every tap column must be inside for all pixels or for none, unless kPixels is 1.
template <class V, int kPixels, int kVectors, class Sink>
void conv2d_tile(const ConvTile& tile, const Sink& sink, int x) {
  const ConvShape& shape = *tile.shape;
  const int in_c = shape.in_c_per_group(), step = shape.out_c_per_group();
  const int last = tile.channels - (kVectors - 1) * V::kLanes;
  const int last_n = last < V::kLanes ? last : V::kLanes;
  typename V::F sum[kPixels][kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const typename V::F bias =
        V::load(tile.bias + v * V::kLanes, v + 1 < kVectors ? V::kLanes : last_n);
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) sum[p][v] = bias;
  }
  const int left = x * shape.stride - shape.pad_left;
  for (int ky = 0; ky < shape.kernel; ++ky) {
    if (!tile.in[ky]) continue;
    for (int kx = 0; kx < shape.kernel; ++kx) {
      const int in_x = left + kx;
      if (in_x < 0 || in_x >= shape.in_w) continue;
      const float* in = tile.in[ky] + size_t(in_x) * shape.in_c + tile.from;
      const float* weights = tile.weights + (size_t(ky) * shape.kernel + kx) * in_c * step;
      for (int i = 0; i < in_c; ++i, weights += step) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          const typename V::F w =
              V::load(weights + v * V::kLanes, v + 1 < kVectors ? V::kLanes : last_n);
#pragma GCC unroll 8
          for (int p = 0; p < kPixels; ++p) {
            const float a = in[size_t(p) * shape.stride * shape.in_c + i];
            sum[p][v] = V::fma(V::broadcast(a), w, sum[p][v]);
          }
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const auto cursor = sink.at(tile.o + v * V::kLanes, x);
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) sink.put_value(cursor, p, sum[p][v]);
  }
}

// One row of kVectors vectors of output channels: single pixels at the edges, tiles of 4 between
// them.
template <class V, int kVectors, class Sink>
void conv2d_channels(const ConvTile& tile, const Sink& sink) {
  const ConvShape& shape = *tile.shape;
  const int inside =
      shape.in_w + shape.pad_left - shape.kernel;  // last tap column of the last inner pixel
  int x = 0;
  while (x < shape.out_w) {
    const bool inner = x * shape.stride >= shape.pad_left && (x + 3) * shape.stride <= inside;
    if (inner && x + 4 <= shape.out_w) {
      conv2d_tile<V, 4, kVectors>(tile, sink, x);
      x += 4;
    } else {
      conv2d_tile<V, 1, kVectors>(tile, sink, x);
      x += 1;
    }
  }
}

template <class V>
void conv2d_row_with(const ConvShape& shape, const float* const* in, const float* prepared,
                     const EpilogueConstants& constants, const RowOutput& out) {
  const FloatSink<V, EpilogueKind::kAny> sink(shape, constants, {}, out);
  const int out_c = shape.out_c_per_group(), in_c = shape.in_c_per_group();
  const size_t group_weights = size_t(shape.kernel) * shape.kernel * in_c * out_c;
  for (int group = 0; group < shape.groups; ++group) {
    for (int o = 0; o < out_c;) {
      const int at = group * out_c + o;
      const ConvTile tile = {
          &shape, in,       group * in_c, prepared + group * group_weights + o, constants.bias + at,
          at,     out_c - o};
      if (tile.channels > V::kLanes) {
        conv2d_channels<V, 2>(tile, sink);
        o += 2 * V::kLanes;
      } else {
        conv2d_channels<V, 1>(tile, sink);
        o += V::kLanes;
      }
    }
  }
}

// Dot products along in_c; four output channels share each load of the input.
template <class V>
void linear_with(const float* input, const float* weights, const float* bias, int in_c, int out_c,
                 float* out) {
  constexpr int kRows = 4;
  for (int o = 0; o < out_c; o += kRows) {
    const int rows = out_c - o < kRows ? out_c - o : kRows;
    const float* row[kRows];
    typename V::F sum[kRows];
    for (int r = 0; r < kRows; ++r) {
      row[r] = weights + size_t(o + (r < rows ? r : 0)) * in_c;
      sum[r] = V::broadcast(0.0f);
    }
    int c = 0;
    for (; c + V::kLanes <= in_c; c += V::kLanes) {
      const typename V::F x = V::load(input + c, V::kLanes);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) sum[r] = V::fma(V::load(row[r] + c, V::kLanes), x, sum[r]);
    }
    if (c < in_c) {
      const typename V::F x = V::load(input + c, in_c - c);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) sum[r] = V::fma(V::load(row[r] + c, in_c - c), x, sum[r]);
    }
    for (int r = 0; r < rows; ++r) out[o + r] = bias[o + r] + V::sum(sum[r]);
  }
}

}  // namespace bnn
