// LceQuantize, LceDequantize and LceBMaxPool2d on their own.
#pragma once

#include "doors/litert/graph.h"

namespace bnn::litert {

// bits [rows, words] of in [rows, channels]: float32 (x < 0), int8 (x < zero point), bool (not x).
void run_quantize(const Tensor& in_tensor, const Shape& shape, const void* in, void* out);

// +-1 for each bit: float32, int8 (zero point +- round(1 / scale), saturated), bool.
void run_dequantize(const Tensor& out_tensor, const Shape& shape, const void* in, void* out);

// The maximum of +-1 in each window: the AND of its words. Places outside the image do not count.
void run_bmaxpool2d(const Window& window, const Shape& in_shape, const Shape& out_shape,
                    const void* in, void* out);

}  // namespace bnn::litert
