#include "doors/litert/float_ops.h"

#include <algorithm>

#include "doors/litert/shapes.h"

namespace bnn::litert {
namespace {

void run_offset(const Vector& vector, bool negative, size_t rows, int channels, const float* in,
                float* out) {
  for (size_t row = 0; row < rows; ++row) {
    for (int c = 0; c < channels; ++c) {
      const float x = *in++;
      *out++ = negative ? x - vector.at(c) : x + vector.at(c);
    }
  }
}

void run_average_pool(const Window& window, const Shape& in_shape, const Shape& out_shape,
                      const float* image, float* out) {
  const int height = in_shape.dims[1], width = in_shape.dims[2], channels = in_shape.last();
  const int top = window.pad_top(height), left = window.pad_left(width);
  for (int n = 0; n < in_shape.dims[0]; ++n, image += size_t(height) * width * channels) {
    for (int y = 0; y < out_shape.dims[1]; ++y) {
      const int first_y = std::max(y * window.stride_h - top, 0);
      const int end_y = std::min(y * window.stride_h - top + window.height, height);
      for (int x = 0; x < out_shape.dims[2]; ++x) {
        const int first_x = std::max(x * window.stride_w - left, 0);
        const int end_x = std::min(x * window.stride_w - left + window.width, width);
        const float count = float(end_y - first_y) * float(end_x - first_x);
        for (int c = 0; c < channels; ++c) {
          float sum = 0.0f;
          for (int in_y = first_y; in_y < end_y; ++in_y) {
            for (int in_x = first_x; in_x < end_x; ++in_x) {
              sum += image[(size_t(in_y) * width + in_x) * channels + c];
            }
          }
          *out++ = sum / count;
        }
      }
    }
  }
}

void run_pad(const Shape& in_shape, const Shape& out_shape, const int32_t* pads, float value,
             const float* in, float* out) {
  std::fill_n(out, out_shape.elements(), value);
  const size_t run = size_t(in_shape.last());
  for (size_t row = 0; row < in_shape.rows(); ++row) {
    size_t rest = row, place = 0, step = size_t(out_shape.last());
    for (int axis = in_shape.rank - 2; axis >= 0; --axis) {
      place += (rest % size_t(in_shape.dims[axis]) + size_t(pads[2 * axis])) * step;
      rest /= size_t(in_shape.dims[axis]);
      step *= size_t(out_shape.dims[axis]);
    }
    std::copy_n(in + row * run, run, out + place + pads[2 * (in_shape.rank - 1)]);
  }
}

}  // namespace

bool is_float_op(const Graph& graph, const Node& node) {
  switch (node.op) {
    case Op::kAdd:
    case Op::kSub:
      return as_vector(graph.tensor(node.input(1)), graph.tensor(node.output).shape.last()).data;
    case Op::kAveragePool2d:
    case Op::kConcatenation:
    case Op::kReshape:
    case Op::kPadV2:
      return true;
    default:
      return false;
  }
}

void run_float_op(const Graph& graph, const Node& node, const float* in, float* out) {
  const Shape &from = graph.tensor(node.input(0)).shape, &to = graph.tensor(node.output).shape;
  switch (node.op) {
    case Op::kAdd:
    case Op::kSub:
      return run_offset(as_vector(graph.tensor(node.input(1)), from.last()), node.op == Op::kSub,
                        from.rows(), from.last(), in, out);
    case Op::kAveragePool2d:
      return run_average_pool(node.window, from, to, in, out);
    case Op::kConcatenation:
      for (size_t row = 0; row < from.rows(); ++row, in += from.last()) {
        for (int i = 0; i < node.input_count; ++i) out = std::copy_n(in, from.last(), out);
      }
      return;
    case Op::kPadV2:
      return run_pad(from, to, graph.tensor(node.input(1)).ints(),
                     *graph.tensor(node.input(2)).floats(), in, out);
    default:
      std::copy_n(in, from.elements(), out);  // a reshape
  }
}

}  // namespace bnn::litert
