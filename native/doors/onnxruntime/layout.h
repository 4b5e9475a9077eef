// ONNX tensors are channels first; the engine's rows are channels last.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bnn::ort {

// [channels, pixels] -> [pixels, channels]
void channels_last(const float* planes, int channels, size_t pixels, float* pixels_out);

// Row y of [channels, height, width] -> packed bits of one row [width, words_of(channels)]:
// bit = (x < threshold of its channel).
void pack_row(const float* planes, int channels, int height, int width, int y,
              const float* threshold, uint64_t* words);

// One row [width, channels] -> row y of [channels, height, width]
void store_row(const float* row, int channels, int height, int width, int y, float* planes);

// Weights [out, in, k, k] of floats -> [out, k, k, in]
void weights_last(const float* weights, int out, int in, int kernel, float* result);

// Weights [out, in, k, k], one bit each, least significant first -> [out, k, k, words_of(in)],
// zeroed before.
void unpack_weights(const uint8_t* bits, int out, int in, int kernel, uint64_t* words);

}  // namespace bnn::ort
