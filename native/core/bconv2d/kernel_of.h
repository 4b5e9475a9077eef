// Bconv2dKernel objects from the classes that implement them: K has the four functions, static.
#pragma once

#include "core/bconv2d/bconv2d.h"

namespace bnn {

template <class K>
constexpr Bconv2dKernel kernel_of(const char* name, Isa isa) {
  return {name, isa, K::supports, K::prepared_bytes, K::prepare, K::run_row};
}

// Blocks of One or of Two vectors of filters: two share the work on the input if the group has as
// many filters.
template <class One, class Two>
struct OneOrTwo {
  static bool two(const ConvShape& shape) { return shape.out_c_per_group() > One::kBlock; }

  static bool supports(const ConvShape& shape) { return One::supports(shape); }
  static size_t prepared_bytes(const ConvShape& shape) {
    return two(shape) ? Two::prepared_bytes(shape) : One::prepared_bytes(shape);
  }
  static void prepare(const ConvShape& shape, const uint64_t* weights, void* prepared) {
    (two(shape) ? Two::prepare : One::prepare)(shape, weights, prepared);
  }
  static void run_row(const ConvShape& shape, const uint64_t* input, const void* prepared, int y,
                      int32_t* acc) {
    (two(shape) ? Two::run_row : One::run_row)(shape, input, prepared, y, acc);
  }
};

}  // namespace bnn
