#include "doors/litert/bit_ops.h"

#include <algorithm>
#include <cmath>

namespace bnn::litert {
namespace {

// words[i] has the bits is_minus(x) of 32 channels.
template <class T, class IsMinus>
void pack_rows(const T* in, size_t rows, int channels, uint32_t* words, const IsMinus& is_minus) {
  for (size_t row = 0; row < rows; ++row, in += channels) {
    for (int first = 0; first < channels; first += 32) {
      uint32_t word = 0;
      const int count = std::min(32, channels - first);
      for (int i = 0; i < count; ++i) word |= uint32_t(is_minus(in[first + i])) << i;
      *words++ = word;
    }
  }
}

template <class T>
void unpack_rows(const uint32_t* words, size_t rows, int channels, T minus, T plus, T* out) {
  for (size_t row = 0; row < rows; ++row) {
    for (int c = 0; c < channels; ++c) *out++ = words[c / 32] >> (c % 32) & 1 ? minus : plus;
    words += words32_of(channels);
  }
}

int8_t saturated(double value) { return int8_t(std::clamp(value, -128.0, 127.0)); }

}  // namespace

void run_quantize(const Tensor& in_tensor, const Shape& shape, const void* in, void* out) {
  uint32_t* words = static_cast<uint32_t*>(out);
  const int channels = shape.last();
  if (in_tensor.type == kFloat32) {
    pack_rows(static_cast<const float*>(in), shape.rows(), channels, words,
              [](float x) { return x < 0.0f; });
  } else if (in_tensor.type == kInt8) {
    const int zero = in_tensor.zero_point;
    pack_rows(static_cast<const int8_t*>(in), shape.rows(), channels, words,
              [zero](int8_t x) { return x < zero; });
  } else {
    pack_rows(static_cast<const uint8_t*>(in), shape.rows(), channels, words,
              [](uint8_t x) { return x == 0; });
  }
}

void run_dequantize(const Tensor& out_tensor, const Shape& shape, const void* in, void* out) {
  const uint32_t* words = static_cast<const uint32_t*>(in);
  const int channels = shape.last();
  if (out_tensor.type == kFloat32) {
    unpack_rows(words, shape.rows(), channels, -1.0f, 1.0f, static_cast<float*>(out));
  } else if (out_tensor.type == kInt8) {
    const double one = std::round(1.0 / out_tensor.scale), zero = out_tensor.zero_point;
    unpack_rows(words, shape.rows(), channels, saturated(zero - one), saturated(zero + one),
                static_cast<int8_t*>(out));
  } else {
    unpack_rows(words, shape.rows(), channels, uint8_t(0), uint8_t(1), static_cast<uint8_t*>(out));
  }
}

void run_bmaxpool2d(const Window& window, const Shape& in_shape, const Shape& out_shape,
                    const void* in, void* out) {
  const int height = in_shape.dims[1], width = in_shape.dims[2], words = in_shape.last();
  const int top = window.pad_top(height), left = window.pad_left(width);
  const uint32_t* image = static_cast<const uint32_t*>(in);
  uint32_t* to = static_cast<uint32_t*>(out);
  for (int n = 0; n < in_shape.dims[0]; ++n, image += size_t(height) * width * words) {
    for (int y = 0; y < out_shape.dims[1]; ++y) {
      const int first_y = std::max(y * window.stride_h - top, 0);
      const int end_y = std::min(y * window.stride_h - top + window.height, height);
      for (int x = 0; x < out_shape.dims[2]; ++x, to += words) {
        const int first_x = std::max(x * window.stride_w - left, 0);
        const int end_x = std::min(x * window.stride_w - left + window.width, width);
        std::fill_n(to, words, ~uint32_t(0));
        for (int in_y = first_y; in_y < end_y; ++in_y) {
          for (int in_x = first_x; in_x < end_x; ++in_x) {
            const uint32_t* pixel = image + (size_t(in_y) * width + in_x) * words;
            for (int i = 0; i < words; ++i) to[i] &= pixel[i];
          }
        }
      }
    }
  }
}

}  // namespace bnn::litert
