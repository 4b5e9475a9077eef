// Bconv2dKernel objects from classes whose loops hand their sums to a sink (epilogue/sink.h).
//
// K offers, static:
//   supports(shape), prepared_bytes(shape), prepare(shape, weights, prepared)
//   run(shape, prepared, in, sink)       sink is a FloatSink<V, ...> or a ThresholdSink<Compare>
// Compare is V, or a vector of more sums of fewer bits.
// In front of K's own prepared weights stand the thresholds of the integer epilogue.
#pragma once

#include "core/bconv2d/bconv2d.h"
#include "core/epilogue/sink.h"

namespace bnn {

template <class K, class V, class Compare = V>
struct FusedKernel {
  static size_t threshold_bytes(const ConvShape& shape) {
    return size_t(padded_channels(shape.out_c)) * sizeof(int32_t);
  }
  static const void* weights_of(const ConvShape& shape, const void* prepared) {
    return static_cast<const char*>(prepared) + threshold_bytes(shape);
  }

  static size_t prepared_bytes(const ConvShape& shape) {
    return threshold_bytes(shape) + K::prepared_bytes(shape);
  }

  static void prepare(const ConvShape& shape, const uint64_t* weights, const int32_t* threshold,
                      void* prepared) {
    int32_t* padded = static_cast<int32_t*>(prepared);
    for (int o = 0; o < padded_channels(shape.out_c); ++o) {
      padded[o] = threshold && o < shape.out_c ? threshold[o] : INT32_MAX;
    }
    K::prepare(shape, weights, static_cast<char*>(prepared) + threshold_bytes(shape));
  }

  static void run_row(const ConvShape& shape, const void* prepared,
                      const EpilogueConstants& constants, const Bconv2dRow& row) {
    with_float_sink<V>(shape, constants, row.shortcut, row.out, [&](const auto& sink) {
      K::run(shape, weights_of(shape, prepared), row.in, sink);
    });
  }

  static void run_threshold_row(const ConvShape& shape, const void* prepared,
                                const uint64_t* const* in, uint64_t* bits) {
    K::run(shape, weights_of(shape, prepared), in,
           ThresholdSink<Compare>(shape, static_cast<const int32_t*>(prepared), bits));
  }
};

template <class K, class V, class Compare = V>
constexpr Bconv2dKernel fused_kernel(const char* name, const char* method, Isa isa) {
  using Fused = FusedKernel<K, V, Compare>;
  return {name,
          method,
          isa,
          K::supports,
          Fused::prepared_bytes,
          Fused::prepare,
          Fused::run_row,
          threshold_rows_of<Fused>};
}

}  // namespace bnn
