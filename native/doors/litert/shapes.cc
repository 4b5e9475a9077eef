#include "doors/litert/shapes.h"

#include <algorithm>
#include <initializer_list>

#include "engine/step.h"

namespace bnn::litert {
namespace {

constexpr int64_t kMostReach = 1 << 28;  // of a window, so that int arithmetic cannot overflow

bool is_image(const Tensor& tensor) {
  const Shape& s = tensor.shape;
  return s.rank == 4 && s.dims[1] <= kMaxSize && s.dims[2] <= kMaxSize;
}

bool is_vector(const Tensor& tensor, TfLiteType type, int elements) {
  return tensor.data && tensor.type == type && tensor.shape.rank == 1 &&
         tensor.shape.dims[0] == elements;
}

const Tensor* tensor_of(const Graph& graph, int index) {
  return graph.is_tensor(index) ? &graph.tensor(index) : nullptr;
}

const Tensor* input_of(const Graph& graph, const Node& node, int i) {
  return tensor_of(graph, node.input(i));
}

bool windowed(const Shape& in, const Window& window, int channels, Shape* out, Status* status) {
  if (std::max(int64_t(window.height - 1) * window.dilation_h,
               int64_t(window.width - 1) * window.dilation_w) > kMostReach) {
    return status->fail(Code::kUnsupported, "its windows reach too far");
  }
  *out = {4, {in.dims[0], window.out_h(in.dims[1]), window.out_w(in.dims[2]), channels}};
  if (out->dims[1] > 0 && out->dims[2] > 0) return true;
  return status->fail(Code::kMalformed, "a window of %dx%d does not fit an image of %dx%d",
                      window.height, window.width, in.dims[1], in.dims[2]);
}

bool check_quantize(const Graph& graph, const Node& node, Shape* output, Status* status) {
  const Tensor *in = input_of(graph, node, 0), *out = tensor_of(graph, node.output);
  if (node.input_count != 1 || !in || in->shape.rank < 1 || !out || out->type != kInt32) {
    return status->fail(Code::kMalformed, "expected one input and an output of int32");
  }
  if (in->type != kFloat32 && in->type != kInt8 && in->type != kBool) {
    return status->fail(Code::kUnsupported, "its input must be float32, int8 or bool");
  }
  *output = in->shape;
  output->dims[output->rank - 1] = words32_of(in->shape.last());
  return true;
}

bool check_dequantize(const Graph& graph, const Node& node, Shape* output, Status* status) {
  const Tensor *in = input_of(graph, node, 0), *out = tensor_of(graph, node.output);
  if (node.input_count != 1 || !in || in->type != kInt32 || !out || in->shape.rank < 1 ||
      out->shape.rank != in->shape.rank || words32_of(out->shape.last()) != in->shape.last()) {
    return status->fail(Code::kMalformed,
                        "expected one input of int32 whose words hold the output's channels");
  }
  if (out->type != kFloat32 && out->type != kInt8 && out->type != kBool) {
    return status->fail(Code::kUnsupported, "its output must be float32, int8 or bool");
  }
  if (out->type == kInt8 && !(out->scale > 0)) {
    return status->fail(Code::kMalformed, "its int8 output has no scale");
  }
  *output = in->shape;  // the channels are known from the file alone
  output->dims[output->rank - 1] = out->shape.last();
  return true;
}

bool check_bmaxpool2d(const Graph& graph, const Node& node, Shape* output, Status* status) {
  const Tensor *in = input_of(graph, node, 0), *out = tensor_of(graph, node.output);
  if (node.input_count != 1 || !in || in->type != kInt32 || !is_image(*in) || !out ||
      out->type != kInt32) {
    return status->fail(Code::kMalformed, "expected one input and an output of int32 [N, H, W, C]");
  }
  return windowed(in->shape, node.window, in->shape.last(), output, status);
}

bool check_groups(const Tensor& filter, Node* node, Status* status) {
  const int channels = node->channels_in, words = filter.shape.last();
  const int out = filter.shape.dims[0];
  if (node->groups == 0) {
    const int all = words32_of(channels), groups = all % words ? 0 : all / words;
    if (groups == 0 || channels % groups || (groups > 1 && channels / groups % 32)) {
      return status->fail(Code::kMalformed,
                          "a filter of %d words does not part %d channels into groups of whole "
                          "words",
                          words, channels);
    }
    node->groups = groups;
  }
  const int groups = node->groups;
  if (channels % groups || out % groups || words != words32_of(channels / groups)) {
    return status->fail(Code::kMalformed,
                        "%d groups do not fit %d input channels, %d output channels and a filter "
                        "of %d words",
                        groups, channels, out, words);
  }
  return true;
}

bool check_bconv2d_output(const Graph& graph, const Node& node, const Tensor& out, int channels,
                          Status* status) {
  if (out.type == kInt32) {
    const Tensor* thresholds = input_of(graph, node, 4);
    if (thresholds && is_vector(*thresholds, kInt32, channels)) return true;
    return status->fail(Code::kMalformed, "a bitpacked output needs %d constant int32 thresholds",
                        channels);
  }
  if (out.type != kFloat32 && out.type != kInt8) {
    return status->fail(Code::kUnsupported, "its output must be float32, int8 or bitpacked int32");
  }
  if (out.type == kInt8 && !(out.scale > 0)) {
    return status->fail(Code::kMalformed, "its int8 output has no scale");
  }
  for (int i : {2, 3}) {
    const Tensor* vector = input_of(graph, node, i);
    if (!vector || !is_vector(*vector, kFloat32, channels)) {
      return status->fail(Code::kMalformed, "its %s must hold %d constant float32 numbers",
                          i == 2 ? "multiplier" : "bias", channels);
    }
  }
  return true;
}

bool check_bconv2d(const Graph& graph, Node* node, Shape* output, Status* status) {
  const Tensor *in = input_of(graph, *node, 0), *filter = input_of(graph, *node, 1),
               *out = tensor_of(graph, node->output);
  if (node->input_count != 5 || !in || in->type != kInt32 || !is_image(*in) || !filter || !out) {
    return status->fail(Code::kMalformed, "expected 5 inputs, the first int32 [N, H, W, C]");
  }
  if (!filter->ints() || filter->shape.rank != 4) {
    return status->fail(Code::kMalformed,
                        "its filter must be constant int32 [outputs, height, width, words]");
  }
  if (in->shape.last() != words32_of(node->channels_in)) {
    return status->fail(Code::kMalformed, "%d channels need %d words, its input has %d",
                        node->channels_in, words32_of(node->channels_in), in->shape.last());
  }
  if (!check_groups(*filter, node, status)) return false;
  Window* window = &node->window;
  window->height = filter->shape.dims[1];
  window->width = filter->shape.dims[2];
  const int channels = filter->shape.dims[0];
  if (window->height > kMaxSize || window->width > kMaxSize || channels > kMaxSize ||
      int64_t(window->height) * window->width * filter->shape.last() * 32 * node->groups >
          kMaxWindowBits) {
    return status->fail(Code::kUnsupported, "its windows have more than 2^24 bits");
  }
  if (!windowed(in->shape, *window, channels, output, status)) return false;
  const bool pads = window->same && !node->pads_with_one;
  const bool plain = out->type == kFloat32 && node->activation == kNoActivation;
  if (pads && !plain && node->channels_in / node->groups % 2) {
    return status->fail(Code::kUnsupported,
                        "zero padding of an odd number of channels, %d, needs float32 outputs and "
                        "no activation",
                        node->channels_in / node->groups);
  }
  if (!check_bconv2d_output(graph, *node, *out, channels, status)) return false;
  if (out->type == kInt32) output->dims[3] = words32_of(channels);
  return true;
}

// Both of one shape, or the second a constant for each channel; with an activation tensors alone.
bool check_elementwise(const Graph& graph, const Node& node, Shape* output) {
  const Tensor *a = input_of(graph, node, 0), *b = input_of(graph, node, 1);
  if (node.input_count != 2 || !a || !b || a->type != kFloat32 || b->type != kFloat32) return false;
  *output = a->shape;
  const bool constant = as_vector(*b, a->shape.last()).data;
  if (constant && node.activation != kNoActivation) return false;
  return a->shape.rank > 0 && (constant || a->shape == b->shape);
}

bool check_relu(const Graph& graph, const Node& node, Shape* output) {
  const Tensor* in = input_of(graph, node, 0);
  if (node.input_count != 1 || !in || in->type != kFloat32 || in->shape.rank < 1) return false;
  *output = in->shape;
  return true;
}

bool check_average_pool(const Graph& graph, const Node& node, Shape* output, Status* status) {
  const Tensor* in = input_of(graph, node, 0);
  const Window& window = node.window;
  if (!in || in->type != kFloat32 || !is_image(*in) || window.height < 1 || window.width < 1 ||
      window.stride_h < 1 || window.stride_w < 1) {
    return false;
  }
  return windowed(in->shape, window, in->shape.last(), output, status);
}

// Copies of one tensor along the channels.
bool check_concatenation(const Graph& graph, const Node& node, Shape* output) {
  const Tensor* in = input_of(graph, node, 0);
  if (!in || in->type != kFloat32 || in->shape.rank < 1) return false;
  if (node.axis != -1 && node.axis != in->shape.rank - 1) return false;
  for (int i = 1; i < node.input_count; ++i) {
    if (node.inputs[i] != node.inputs[0]) return false;
  }
  *output = in->shape;
  if (int64_t(in->shape.last()) * node.input_count > kMaxSize) return false;
  output->dims[output->rank - 1] *= node.input_count;
  return true;
}

bool check_reshape(const Graph& graph, const Node& node, Shape* output) {
  const Tensor *in = input_of(graph, node, 0), *shape = input_of(graph, node, 1);
  if (!in || in->type != kFloat32 || in->shape.rank < 0 || !shape || !shape->ints() ||
      shape->shape.rank != 1 || shape->shape.dims[0] > kMaxRank) {
    return false;
  }
  output->rank = shape->shape.dims[0];
  for (int i = 0; i < output->rank; ++i) {
    output->dims[i] = shape->ints()[i];
    if (output->dims[i] < 1) return false;
  }
  return output->elements() == in->shape.elements();
}

bool check_pad(const Graph& graph, const Node& node, Shape* output) {
  const Tensor *in = input_of(graph, node, 0), *pads = input_of(graph, node, 1),
               *value = input_of(graph, node, 2);
  if (!in || in->type != kFloat32 || in->shape.rank < 1 || !pads || !pads->ints() || !value ||
      !value->floats() || value->shape.elements() != 1 || pads->shape.rank != 2 ||
      pads->shape.dims[0] != in->shape.rank || pads->shape.dims[1] != 2) {
    return false;
  }
  *output = in->shape;
  for (int i = 0; i < output->rank; ++i) {
    const int64_t before = pads->ints()[2 * i], after = pads->ints()[2 * i + 1];
    if (before < 0 || after < 0 || before + after + output->dims[i] > INT32_MAX) return false;
    output->dims[i] += int32_t(before + after);
  }
  return true;
}

bool check_conv2d(const Graph& graph, Node* node, Shape* output, Status* status) {
  const Tensor *in = input_of(graph, *node, 0), *filter = input_of(graph, *node, 1);
  if (!in || in->type != kFloat32 || !is_image(*in) || !filter || !filter->floats() ||
      filter->shape.rank != 4) {
    return false;
  }
  const Tensor* bias = input_of(graph, *node, 2);
  const int channels = filter->shape.dims[0], per_group = filter->shape.last();
  if (!bias || !is_vector(*bias, kFloat32, channels) || in->shape.last() % per_group) return false;
  node->groups = in->shape.last() / per_group;
  Window* window = &node->window;
  window->height = filter->shape.dims[1];
  window->width = filter->shape.dims[2];
  if (channels % node->groups || window->height > kMaxSize || window->width > kMaxSize ||
      window->stride_h < 1 || window->stride_w < 1 || window->dilation_h != 1 ||
      window->dilation_w != 1) {
    return false;
  }
  return windowed(in->shape, *window, channels, output, status);
}

// Over height and width.
bool check_mean(const Graph& graph, const Node& node, Shape* output) {
  const Tensor *in = input_of(graph, node, 0), *axes = input_of(graph, node, 1);
  if (!in || in->type != kFloat32 || !is_image(*in) || !axes || !axes->ints() ||
      axes->shape.elements() != 2) {
    return false;
  }
  const int32_t a = axes->ints()[0], b = axes->ints()[1];
  if (!((a == 1 && b == 2) || (a == 2 && b == 1))) return false;
  *output = {2, {in->shape.dims[0], in->shape.last()}};
  return true;
}

bool check_fully_connected(const Graph& graph, const Node& node, Shape* output) {
  const Tensor *in = input_of(graph, node, 0), *weights = input_of(graph, node, 1);
  if (!in || in->type != kFloat32 || in->shape.rank != 2 || !weights || !weights->floats() ||
      weights->shape.rank != 2 || weights->shape.last() != in->shape.last()) {
    return false;
  }
  const int outputs = weights->shape.dims[0];
  const Tensor* bias = input_of(graph, node, 2);
  if (node.input(2) != kOptionalTensor && !(bias && is_vector(*bias, kFloat32, outputs))) {
    return false;
  }
  *output = {2, {in->shape.dims[0], outputs}};
  return true;
}

bool check(const Graph& graph, Node* node, Shape* output, Status* status) {
  switch (node->op) {
    case Op::kQuantize:
      return check_quantize(graph, *node, output, status);
    case Op::kDequantize:
      return check_dequantize(graph, *node, output, status);
    case Op::kBconv2d:
      return check_bconv2d(graph, node, output, status);
    case Op::kBMaxPool2d:
      return check_bmaxpool2d(graph, *node, output, status);
    case Op::kAdd:
    case Op::kSub:
    case Op::kPrelu:
      return check_elementwise(graph, *node, output);
    case Op::kRelu:
      return check_relu(graph, *node, output);
    case Op::kAveragePool2d:
      return check_average_pool(graph, *node, output, status);
    case Op::kConcatenation:
      return check_concatenation(graph, *node, output);
    case Op::kReshape:
      return check_reshape(graph, *node, output);
    case Op::kPadV2:
      return check_pad(graph, *node, output);
    case Op::kConv2d:
      return check_conv2d(graph, node, output, status);
    case Op::kMean:
      return check_mean(graph, *node, output);
    case Op::kFullyConnected:
      return check_fully_connected(graph, *node, output);
    case Op::kOther:
      break;
  }
  return false;
}

}  // namespace

bool check_node(const Graph& graph, Node* node, Shape* output, Status* status) {
  if (!is_ours(node->op) && graph.tensor(node->output).type != kFloat32) return false;
  if (!check(graph, node, output, status)) return false;
  if (output->elements() * sizeof(float) <= kMaxTensorBytes) return true;
  return status->fail(Code::kUnsupported, "its output has more than 2^31 bytes");
}

Vector as_vector(const Tensor& tensor, int channels) {
  const float* data = tensor.floats();
  if (!data || tensor.shape.rank < 0) return {nullptr, false};
  const size_t elements = tensor.shape.elements();
  if (elements == 1) return {data, true};
  if (elements == size_t(channels) && tensor.shape.last() == channels) return {data, false};
  return {nullptr, false};
}

}  // namespace bnn::litert
