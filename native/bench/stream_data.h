// One layer with its activations in one format and place, and the check of what it computes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/stream_format.h"
#include "engine/memory.h"

namespace bnn {

// Where activations stand. Rings of rows (engine/rows.h); or whole tensors, two of them, that take
// turns as input and output.
struct Place {
  const char* name;
  int shortcut_rows, value_rows;  // of the rings; 0: whole tensors
  size_t tensor_bytes;            // of float32, as many rows as fit; 0: the layer's own rows
};

class StreamRun {
 public:
  // A 1x1 convolution of size x size pixels. False: no memory.
  bool make(int size, int channels, const StreamFormat& format, const Place& place);

  int rows() const { return rows_; }
  const Place& place() const { return place_; }

  // All rows once.
  void pass();

  // What is wrong with the first row: values more than half a step of the format from those of the
  // engine's kernel, or other bits; empty: nothing. After make(), before the first pass().
  std::string check();

 private:
  struct Tensor {
    char* values;
    uint64_t* bits;
    int value_rows, bit_rows;
  };

  void fill();
  void run_row(const Tensor& in, const Tensor& out, int y) const;

  ConvShape shape_{};
  const StreamFormat* format_ = nullptr;
  Place place_{};
  int rows_ = 0;
  Memory memory_;
  char* prepared_ = nullptr;
  // step, offset: of int8, both of the shortcut and of the values.
  float *scale_ = nullptr, *bias_ = nullptr, *beta_ = nullptr, *zeta_ = nullptr,
        *threshold_ = nullptr, *step_ = nullptr, *offset_ = nullptr;
  // What the epilogue reads: folded, for int8.
  float *folded_bias_ = nullptr, *folded_threshold_ = nullptr, *out_scale_ = nullptr,
        *out_offset_ = nullptr;
  StreamConstants constants_{};
  Tensor in_{}, out_{};
};

}  // namespace bnn
