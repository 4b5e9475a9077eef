// The choice of the tile: kernels of one instruction set and one method give the same bits and
// differ in speed, by the shape. The fastest is found by running them on invented data.
#pragma once

#include "engine/prepare.h"

namespace bnn {

// Replaces the kernel of every binary convolution by the fastest of its kind. Each shape is
// measured once, about half a millisecond. Without memory to do so the kernels stay as they are.
void tune(PreparedStep* steps, int count);

}  // namespace bnn
