// The reference kernel: every shape, plain 64-bit words, one output at a time.
#include "core/bconv2d/bconv2d.h"
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

// prepared: masks [groups, span], then filters [out_c, kernel * kernel, span]
size_t mask_words(const ConvShape& shape) {
  return size_t(shape.groups) * size_t(span_words(shape, 1));
}

bool supports(const ConvShape&) { return true; }

size_t prepared_bytes(const ConvShape& shape) {
  const size_t filter = size_t(shape.kernel) * shape.kernel * span_words(shape, 1);
  return (mask_words(shape) + size_t(shape.out_c) * filter) * sizeof(uint64_t);
}

void prepare(const ConvShape& shape, const uint64_t* weights, void* prepared) {
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

void run_row(const ConvShape& shape, const uint64_t* input, const void* prepared, int y,
             int32_t* acc) {
  const int span = span_words(shape, 1);
  const int pixel_words = words_of(shape.in_c);
  for (int x = 0; x < shape.out_w; ++x) {
    const uint64_t* filter = static_cast<const uint64_t*>(prepared) + mask_words(shape);
    for (int o = 0; o < shape.out_c; ++o) {
      const int group = o / shape.out_c_per_group();
      const uint64_t* mask = static_cast<const uint64_t*>(prepared) + size_t(group) * span;
      const int first = first_word(shape, o, span);
      int32_t sum = 0;
      for (int ky = 0; ky < shape.kernel; ++ky) {
        const uint64_t* window =
            input + shape.window_word(y, ky) + size_t(x) * shape.stride * pixel_words + first;
        for (int kx = 0; kx < shape.kernel; ++kx, window += pixel_words) {
          for (int i = 0; i < span; ++i) sum += popcount((window[i] & mask[i]) ^ *filter++);
        }
      }
      *acc++ = sum;
    }
  }
}

}  // namespace

const Bconv2dKernel bconv2d_scalar_generic = {"bconv2d_scalar_generic", Isa::kScalar, supports,
                                              prepared_bytes,           prepare,      run_row};

}  // namespace bnn
