// Binary convolution: packed bits in, XOR-popcount sums out.
//
//   acc[x, o] = number of differing bits between the window of output pixel (y, x) and filter o,
//   0..k_bits, int32 exact; the +-1 dot product is k_bits - 2 * acc.
//
//   input    [padded_h, padded_w, words_of(in_c)] uint64, with its border of zero words (+1), see
//            ConvShape
//   weights  canonical: [out_c, kernel, kernel, words_of(in_c / groups)] uint64, bit = (w < 0),
//            tail bits 0. Filter o belongs to group o / out_c_per_group() and sees that group's
//            input channels.
//   acc      [out_w, out_c] int32: one output row
//
// A kernel re-tiles the canonical weights once, at load (`prepare`), into the layout of its own
// instructions; nothing is packed, gathered or allocated per call.
#pragma once

#include "core/conv_shape.h"
#include "core/isa.h"

namespace bnn {

struct Bconv2dKernel {
  const char* name;  // bconv2d_<isa>_<method>, e.g. "bconv2d_avx512_dense"
  Isa isa;
  bool (*supports)(const ConvShape&);
  size_t (*prepared_bytes)(const ConvShape&);
  // `prepared` is 64-byte aligned and has prepared_bytes(shape).
  void (*prepare)(const ConvShape&, const uint64_t* weights, void* prepared);
  void (*run_row)(const ConvShape&, const uint64_t* input, const void* prepared, int y,
                  int32_t* acc);
};

// All kernels that this binary holds, best first (kernels.inc is the only list), whether or not
// this CPU has their ISA.
const Bconv2dKernel* const* bconv2d_kernels(size_t* count);

// The first kernel of the list whose ISA is `isa` and that supports the shape; the scalar kernels
// support every shape and are the fallback of every ISA. Never null.
const Bconv2dKernel* select_bconv2d(const ConvShape& shape, Isa isa);

// The kernel of that name, or nullptr.
const Bconv2dKernel* find_bconv2d(const char* name);

}  // namespace bnn
