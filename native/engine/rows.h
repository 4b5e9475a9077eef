// Tensors as rows. An activation is either whole or stands in a ring of a few rows, in which row y
// takes the place of row y - count.
//
//   values  a row is [W, C] floats
//   bits    a row is [W + 2 * border, words_of(C)]; the border pixels left and right are +1, zero
//           words: zeroed once when the memory is made, for nothing ever writes them. Above and
//           below the image stands one row of zeros that all readers share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bnn {

template <class T>
struct Rows {
  T* base;        // null: there is no such tensor
  size_t stride;  // elements from one row to the next
  int count;      // of a whole tensor its height

  // The division is for rings alone: it would cost a short row a fifth of its time.
  T* row(int y) const { return base + size_t(y < count ? y : y % count) * stride; }
  operator Rows<const T>() const { return {base, stride, count}; }
};

struct StepInput {
  Rows<const float> values;
  Rows<const uint64_t> bits;  // border: the reader's kernel / 2
};

struct StepOutput {
  Rows<float> values;
  Rows<uint64_t> bits;  // border: Step::border

  StepInput as_input() const { return {values, bits}; }
};

// What running a step needs beside its input and output.
struct Scratch {
  float* shortcut;  // shortcut_floats(step)
  float* dots;      // activation_floats(step)
  // tap_count(step): where the window of output pixel (y, 0) begins in each of its input rows is at
  // taps + y * stride. It is always the same, for row y of a ring has its place; so it is found
  // once (find_taps).
  const uint64_t* const* taps;
};

}  // namespace bnn
