// The real-valued steps of one ISA: its file picks the vector V of floats and takes these
// templates.
//
// V offers, besides what the sinks need (epilogue/sink.h):
//   mul_add(a, w, sum)  sum + a * w for one float a: rounded once or twice, as the ISA does it fast
//   sum(v)              of the lanes
//   kPixels, kVectors   the tile of a convolution: kPixels * kVectors sums in registers
// Everything here is local to the file that includes it: no weak symbols.
#pragma once

#include "core/float/conv2d.h"
#include "core/float/float_ops.h"
#include "core/float/linear.h"
#include "core/float/pack.h"
#include "core/float/pool.h"

namespace bnn {

// One ISA's versions of the functions of float_ops.h.
struct FloatKernels {
  void (*conv2d_row)(const ConvShape&, const float* const* in, const float* prepared,
                     const EpilogueConstants&, const RowOutput&);
  void (*pack_row)(const ConvShape&, const float* in, const EpilogueConstants&, const RowOutput&);
  void (*global_avgpool)(const float* input, int height, int width, int channels, float* out);
  void (*linear)(const float* input, const float* weights, const float* bias, int in_c, int out_c,
                 float* out);
};

template <class V>
constexpr FloatKernels float_kernels() {
  return {conv2d_row_with<V>, pack_row_with<V>, global_avgpool_with<V>, linear_with<V>};
}

}  // namespace bnn
