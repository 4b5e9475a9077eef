#include "core/bconv2d/placement.h"

namespace bnn {
namespace {

// ORs the low `bits` bits of `word`, as bits at .. at + bits - 1, into out[0], out[step], ...
void or_bits(uint64_t word, int bits, int at, int step, uint64_t* out) {
  const int shift = at % 64;
  uint64_t* target = out + size_t(at / 64) * step;
  target[0] |= word << shift;
  if (shift + bits > 64) target[step] |= word >> (64 - shift);
}

}  // namespace

int span_words(const ConvShape& shape, int block) {
  const int per_group = shape.out_c_per_group();
  int groups = 1;  // the most that a block can touch
  if (block % per_group == 0) {
    groups = block / per_group;
  } else if (per_group % block != 0) {
    groups = (block + 2 * per_group - 2) / per_group;
  }
  if (groups > shape.groups) groups = shape.groups;
  // Groups start at multiples of `grid` bits within a word, so at most 64 - grid bits precede
  // them.
  const int in_c = shape.in_c_per_group();
  const int lowest_bit = in_c & -in_c;
  const int grid = lowest_bit < 64 ? lowest_bit : 64;
  const int words = words_of(64 - grid + groups * in_c);
  return words < words_of(shape.in_c) ? words : words_of(shape.in_c);
}

int first_word(const ConvShape& shape, int o, int span) {
  const int word = o / shape.out_c_per_group() * shape.in_c_per_group() / 64;
  const int last = words_of(shape.in_c) - span;
  return word < last ? word : last;
}

void place_filter(const ConvShape& shape, const uint64_t* weights, int o, int tap, int first,
                  int span, int step, uint64_t* out) {
  const int in_c = shape.in_c_per_group();
  const int words = words_of(in_c);
  const uint64_t* filter =
      weights + (size_t(o) * shape.kernel * shape.kernel + size_t(tap)) * size_t(words);
  const int start = o / shape.out_c_per_group() * in_c - 64 * first;
  for (int i = 0; i < span; ++i) out[size_t(i) * step] = 0;
  for (int i = 0; i < words; ++i) {
    const int bits = in_c - 64 * i < 64 ? in_c - 64 * i : 64;
    or_bits(filter[i], bits, start + 64 * i, step, out);
  }
}

void place_mask(const ConvShape& shape, int o, int first, int span, int step, uint64_t* out) {
  const int in_c = shape.in_c_per_group();
  const int start = o / shape.out_c_per_group() * in_c - 64 * first;
  for (int i = 0; i < span; ++i) out[size_t(i) * step] = 0;
  for (int at = 0; at < in_c; at += 64) {
    const int bits = in_c - at < 64 ? in_c - at : 64;
    or_bits(~uint64_t{0} >> (64 - bits), bits, start + at, step, out);
  }
}

}  // namespace bnn
