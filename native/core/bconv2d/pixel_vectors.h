// How the pixels of a packed row fill vectors, for kernels whose vectors hold pixels as they are
// packed (lanes.h, depthwise.h); the same for every row, so it is planned once. Pixels longer than
// a vector are cut into columns of V::kWords words; of shorter ones a vector holds several.
#pragma once

#include "core/conv_shape.h"

namespace bnn {

template <class V>
struct alignas(64) PixelVectors {
  typename V::Loader full[2], last[2];  // of all columns but the last, and of the last
  int words, columns, last_words;       // words of a pixel; columns of it; words of the last one
  int pixels, vectors, last_pixels;     // pixels of a vector; vectors of a row
  int full_vectors;                     // all of them, or all but the last, of fewer pixels
  bool spread;                          // the pixels of a vector are not side by side in the input
  size_t step, out_step;                // words from one vector to the next: input, output

  explicit PixelVectors(const ConvShape& s)
      : words(words_of(s.in_c)),
        columns((words + V::kWords - 1) / V::kWords),
        last_words((words - 1) % V::kWords + 1),
        pixels(words < V::kWords ? V::kWords / words : 1),
        vectors((s.out_w + pixels - 1) / pixels),
        last_pixels((s.out_w - 1) % pixels + 1),
        full_vectors(vectors - int(last_pixels != pixels)),
        spread(pixels > 1 && s.stride > 1),
        step(size_t(pixels) * s.stride * words),
        out_step(size_t(pixels) * words) {
    for (int i = 0; i < 2; ++i) {
      const int column_words = i ? last_words : V::kWords;
      full[i] = typename V::Loader(column_words, s.stride * words, pixels);
      last[i] = typename V::Loader(column_words, s.stride * words, last_pixels);
    }
  }
};

}  // namespace bnn
