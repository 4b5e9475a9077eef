// Binary convolution: packed bits in, XOR-popcount sums in registers, floats and packed bits out.
//
//   acc[x, o] = number of differing bits between the window of output pixel (y, x) and filter o,
//   0..k_bits, exact; the +-1 dot product is k_bits - 2 * acc. What becomes of it: epilogue.h.
//
//   weights  canonical: [out_c, kernel, kernel, words_of(in_c / groups)] uint64, bit = (w < 0),
//            tail bits 0. Filter o belongs to group o / out_c_per_group() and sees that group's
//            input channels.
//
// A kernel re-tiles the canonical weights once, at load (`prepare`), into the layout of its own
// instructions; nothing is packed, gathered or allocated per call. It computes one output row a
// call and gets its input as one pointer per tap row, so that activations may stand in a ring of
// few rows.
#pragma once

#include "core/conv_shape.h"
#include "core/epilogue/epilogue.h"
#include "core/isa.h"

namespace bnn {

struct Bconv2dRow {
  // [kernel]: where the window of output pixel 0 begins in each of its input rows. A row is
  // [padded_w, words_of(in_c)]: border() pixels of +1 (zero words) on both sides; rows above and
  // below the image are zero words. Nothing outside of that is read.
  const uint64_t* const* in;
  ShortcutRow shortcut;
  RowOutput out;
};

// Rows one below the other of an output that is bits alone: such rows may take so little time that
// a call for each would show.
struct ThresholdRows {
  const uint64_t* const* in;  // what Bconv2dRow::in is to row 0; to row i it is in + i * in_step
  int in_step;                // the stride
  uint64_t* bits;             // of row 0; row i is at bits + i * bits_step
  size_t bits_step;
  int count;
};

struct Bconv2dKernel {
  const char* name;    // bconv2d_<isa>_<method> or bconv2d_<isa>_<method>_<tile>
  const char* method;  // kernels of one ISA and method differ in their tile alone: the fastest for
                       // a shape is found by measuring (engine/tune.h)
  Isa isa;
  bool (*supports)(const ConvShape&);
  size_t (*prepared_bytes)(const ConvShape&);
  // `prepared` is 64-byte aligned and has prepared_bytes(shape). threshold: [out_c], for
  // run_threshold_rows; null for run_row.
  void (*prepare)(const ConvShape&, const uint64_t* weights, const int32_t* threshold,
                  void* prepared);
  void (*run_row)(const ConvShape&, const void* prepared, const EpilogueConstants&,
                  const Bconv2dRow&);
  void (*run_threshold_rows)(const ConvShape&, const void* prepared, const ThresholdRows&);
};

// run_threshold_rows of a K that offers one row at a time.
template <class K>
void threshold_rows_of(const ConvShape& shape, const void* prepared, const ThresholdRows& rows) {
  for (int i = 0; i < rows.count; ++i) {
    K::run_threshold_row(shape, prepared, rows.in + i * rows.in_step,
                         rows.bits + i * rows.bits_step);
  }
}

// All kernels that this binary holds, best first (kernels.inc is the only list), whether or not
// this CPU has their ISA.
const Bconv2dKernel* const* bconv2d_kernels(size_t* count);

// The first kernel of the list that supports the shape and whose ISA `isa` includes (isa.h); the
// scalar kernel supports every shape. Never null.
const Bconv2dKernel* select_bconv2d(const ConvShape& shape, Isa isa);

// The kernel of that name, or nullptr.
const Bconv2dKernel* find_bconv2d(const char* name);

}  // namespace bnn
