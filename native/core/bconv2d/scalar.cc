// The reference kernel: every shape, plain 64-bit words, one output at a time.
#include "core/simd/scalar.h"

#include "core/bconv2d/fused_kernel.h"
#include "core/bconv2d/placement.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_scalar_generic;

namespace {

int popcount(uint64_t x) {  // the baseline of x86-64 has no POPCNT instruction
  x -= x >> 1 & 0x5555555555555555;
  x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
  x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
  return int(x * 0x0101010101010101 >> 56);
}

struct Generic {
  // prepared: masks [groups, span], then filters [out_c, kernel * kernel, span]
  static size_t mask_words(const ConvShape& shape) {
    return size_t(shape.groups) * size_t(span_words(shape, 1));
  }

  static bool supports(const ConvShape&) { return true; }

  static size_t prepared_bytes(const ConvShape& shape) {
    const size_t filter = size_t(shape.kernel) * shape.kernel * span_words(shape, 1);
    return (mask_words(shape) + size_t(shape.out_c) * filter) * sizeof(uint64_t);
  }

  static void prepare(const ConvShape& shape, const uint64_t* weights, void* prepared) {
    uint64_t* out = static_cast<uint64_t*>(prepared);
    const int span = span_words(shape, 1);
    for (int o = 0; o < shape.out_c; o += shape.out_c_per_group(), out += span) {
      place_mask(shape, o, first_word(shape, o, span), span, 1, out);
    }
    for (int o = 0; o < shape.out_c; ++o) {
      for (int tap = 0; tap < shape.kernel * shape.kernel; ++tap, out += span) {
        place_filter(shape, weights, o, tap, first_word(shape, o, span), span, 1, out);
      }
    }
  }

  template <class Sink>
  static void run(const ConvShape& shape, const void* prepared, const uint64_t* const* in,
                  const Sink& sink) {
    const uint64_t* masks = static_cast<const uint64_t*>(prepared);
    const int span = span_words(shape, 1);
    const int pixel_words = words_of(shape.in_c);
    for (int x = 0; x < shape.out_w; ++x) {
      const uint64_t* filter = masks + mask_words(shape);
      for (int o = 0; o < shape.out_c; ++o) {
        const uint64_t* mask = masks + size_t(o / shape.out_c_per_group()) * span;
        const size_t first = size_t(x) * shape.stride * pixel_words + first_word(shape, o, span);
        int32_t sum = 0;
        for (int ky = 0; ky < shape.kernel; ++ky) {
          const uint64_t* window = in[ky] + first;
          for (int kx = 0; kx < shape.kernel; ++kx, window += pixel_words) {
            for (int i = 0; i < span; ++i) sum += popcount((window[i] & mask[i]) ^ *filter++);
          }
        }
        sink.put(sink.at(o, x), 0, sum);
      }
    }
  }
};

}  // namespace

const Bconv2dKernel bconv2d_scalar_generic =
    fused_kernel<Generic, Scalar>("bconv2d_scalar_generic", "generic", Isa::kScalar);

}  // namespace bnn
