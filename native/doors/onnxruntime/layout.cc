#include "doors/onnxruntime/layout.h"

#include <algorithm>
#include <cstring>

#include "core/conv_shape.h"

namespace bnn::ort {

void channels_last(const float* planes, int channels, size_t pixels, float* pixels_out) {
  if (channels == 3) {  // images
    const float *red = planes, *green = planes + pixels, *blue = planes + 2 * pixels;
    for (size_t i = 0; i < pixels; ++i) {
      pixels_out[3 * i] = red[i];
      pixels_out[3 * i + 1] = green[i];
      pixels_out[3 * i + 2] = blue[i];
    }
    return;
  }
  for (int c = 0; c < channels; ++c) {
    for (size_t i = 0; i < pixels; ++i) pixels_out[i * channels + c] = planes[c * pixels + i];
  }
}

void pack_row(const float* planes, int channels, int height, int width, int y,
              const float* threshold, uint64_t* words) {
  const int pixel_words = words_of(channels);
  std::memset(words, 0, sizeof *words * width * pixel_words);
  for (int c = 0; c < channels; ++c) {
    const float* row = planes + (size_t(c) * height + y) * width;
    uint64_t* word = words + c / 64;
    for (int x = 0; x < width; ++x) {
      word[x * pixel_words] |= uint64_t(row[x] < threshold[c]) << (c % 64);
    }
  }
}

void store_row(const float* row, int channels, int height, int width, int y, float* planes) {
  constexpr int kBlock = 16;  // channels: a cache line of a pixel
  for (int first = 0; first < channels; first += kBlock) {
    const int last = std::min(first + kBlock, channels);
    for (int x = 0; x < width; ++x) {
      const float* pixel = row + size_t(x) * channels;
      for (int c = first; c < last; ++c) planes[(size_t(c) * height + y) * width + x] = pixel[c];
    }
  }
}

void weights_last(const float* weights, int out, int in, int kernel, float* result) {
  const size_t taps = size_t(kernel) * kernel;
  for (int o = 0; o < out; ++o) {
    channels_last(weights + o * in * taps, in, taps, result + o * in * taps);
  }
}

void unpack_weights(const uint8_t* bits, int out, int in, int kernel, uint64_t* words) {
  const size_t taps = size_t(kernel) * kernel, tap_words = words_of(in);
  size_t i = 0;
  for (int o = 0; o < out; ++o) {
    for (int c = 0; c < in; ++c) {
      for (size_t tap = 0; tap < taps; ++tap, ++i) {
        const uint64_t bit = bits[i / 8] >> (i % 8) & 1;
        words[(o * taps + tap) * tap_words + c / 64] |= bit << (c % 64);
      }
    }
  }
}

}  // namespace bnn::ort
