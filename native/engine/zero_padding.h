// Zero padding of a binary convolution. Kernels pad with +1, so where a window reaches past the
// image they count the weights of the taps there; this takes them off again. Which taps those are
// follows from the row and the column, so a few rows of corrections serve every pixel:
//
//   y(zero padding) = y(+1 padding) - scale[o] * sum of w[o, taps outside]
//
// They are added as a shortcut is (epilogue.h), before RPReLU and thresholds.
#pragma once

#include "engine/step.h"

namespace bnn {

// Taps of a window, along one axis, that are inside the image: from .. to - 1.
struct TapRange {
  int from, to;

  bool whole(int kernel) const { return from == 0 && to == kernel; }
};

class ZeroPadding {
 public:
  // Bytes, a multiple of 64, of the prepared corrections of a step.
  static size_t bytes(const Step& step);

  // weights: canonical; memory: bytes(step), 64-byte aligned, which must outlive this.
  void prepare(const Step& step, const uint64_t* weights, const float* scale, void* memory);

  // row[x * out_c + o] += the correction of pixel (y, x). An activation stands before the scale:
  // it cannot be corrected afterwards, check_step refuses it.
  void add(const Step& step, int y, float* row) const;

 private:
  const int32_t *rows_ = nullptr, *columns_ = nullptr;  // [out_h], [out_w]: which kind each is
  int column_kinds_ = 0;
  const float* corrections_ = nullptr;  // [row kinds, column kinds, out_c]
};

}  // namespace bnn
