// Where the bits of filters stand in a packed pixel: the part of `prepare` that all kernels share.
//
// A group of channels may start anywhere in a word and a block of filters may belong to several
// groups. A block sees `span` words of each pixel, from word `first` on; its filters are moved to
// the bit positions of the input, and a mask of ones says which bits of those words belong to the
// filter's group. Both are 0 elsewhere, so  popcount((input & mask) ^ filter)  counts the
// differing bits of the group alone.
#pragma once

#include "core/conv_shape.h"

namespace bnn {

// Words of a pixel that any `block` consecutive filters (starting at a multiple of `block`) see;
// the same for all blocks, never more than a pixel has.
int span_words(const ConvShape& shape, int block);

// First of these words for the block that starts at filter o; first + span stays within the pixel.
int first_word(const ConvShape& shape, int o, int span);

// out[i * step] = word first + i of filter o at `tap` (= ky * kernel + kx), for i in 0 .. span-1.
void place_filter(const ConvShape& shape, const uint64_t* weights, int o, int tap, int first,
                  int span, int step, uint64_t* out);

// out[i * step] = word first + i of the mask of filter o's group, for i in 0 .. span-1.
void place_mask(const ConvShape& shape, int o, int first, int span, int step, uint64_t* out);

}  // namespace bnn
