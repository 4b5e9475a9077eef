// What a block would cost if the float stream between its steps stood in memory in a narrower
// format: a binary convolution with the epilogue of a block (epilogue/epilogue.h), whose shortcut
// is read and whose values are written in that format. Sums and epilogue stay float32.
//
//   float32, bfloat16, float16    y rounded to the nearest
//   int8                          value = offset[c] + step[c] * q
//
// For int8 everything that is constant is folded, so that a load costs a conversion and a
// multiply-add, a store a multiply-add and a saturating conversion: see StreamConstants.
#pragma once

#include "core/bconv2d/bconv2d.h"

namespace bnn {

enum class StreamType { kFloat32, kBfloat16, kFloat16, kInt8 };

// [padded_channels(out_c)] each.
struct StreamConstants {
  // int8: bias holds the shortcut's offset as well, and bits are y - zeta < threshold - zeta.
  EpilogueConstants epilogue;
  // int8 only.
  const float* in_step;     // of the shortcut
  const float* out_scale;   // q = round(out_scale * (y - zeta) + out_offset)
  const float* out_offset;  // (zeta - offset) * out_scale
};

struct StreamRow {
  const uint64_t* const* in;  // Bconv2dRow::in
  const void* shortcut;       // [out_w, out_c] elements
  void* values;               // [out_w, out_c] elements
  uint64_t* bits;             // [out_w, words_of(out_c)]
};

struct StreamFormat {
  const char* name;
  StreamType type;
  bool needs_bf16;  // AVX512_BF16
  // Dense layers; out_c is a multiple of 64, k_bits even. prepared: of prepare_stream().
  void (*run_row)(const ConvShape&, const void* prepared, const StreamConstants&, const StreamRow&);
};

// The engine's own kernel comes first; "float32" is the yardstick, made as the others are. All need
// Isa::kAvx512.
const StreamFormat* stream_formats(int* count);
size_t stream_prepared_bytes(const ConvShape& shape);
void prepare_stream(const ConvShape& shape, const uint64_t* weights, void* prepared);

}  // namespace bnn
