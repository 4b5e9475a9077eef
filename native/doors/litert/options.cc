#include "doors/litert/options.h"

#include <cstring>

#include "doors/litert/flexbuffer.h"

namespace bnn::litert {
namespace {

constexpr int64_t kMostStep = 1 << 16;  // of a stride, a dilation, a window

Op custom_op(const char* name) {
  const struct {
    const char* name;
    Op op;
  } kNames[] = {{"LceQuantize", Op::kQuantize},
                {"LceDequantize", Op::kDequantize},
                {"LceBconv2d", Op::kBconv2d},
                {"BnnBconv2d", Op::kBconv2d},
                {"LceBMaxPool2d", Op::kBMaxPool2d}};
  for (const auto& known : kNames) {
    if (name && !std::strcmp(name, known.name)) return known.op;
  }
  return Op::kOther;
}

// The options of a custom operator, all of them required; the first failure stays.
class Options {
 public:
  Options(const TfLiteNode& node, Status* status) : status_(status) {
    const int size = node.custom_initial_data_size;
    if (size < 0 || !map_.parse(node.custom_initial_data, size_t(size))) {
      status_->fail(Code::kMalformed, "its options are no FlexBuffer map");
    }
  }

  template <class T>
  void read(const char* key, int64_t least, int64_t most, T* to) {
    if (!status_->ok()) return;
    int64_t value = 0;
    if (!map_.find(key, &value)) {
      status_->fail(Code::kMalformed, "option %s is missing or no integer", key);
    } else if (value < least || value > most) {
      status_->fail(Code::kMalformed, "option %s must be %lld to %lld, not %lld", key,
                    static_cast<long long>(least), static_cast<long long>(most),
                    static_cast<long long>(value));
    } else {
      *to = T(value);
    }
  }

  void read_strides_and_padding(Window* window) {
    int valid = 0;
    read("stride_height", 1, kMostStep, &window->stride_h);
    read("stride_width", 1, kMostStep, &window->stride_w);
    read("padding", 0, 1, &valid);
    window->same = !valid;
  }

 private:
  FlexMap map_;
  Status* status_;
};

void read_bconv2d(Options* options, Node* node) {
  options->read_strides_and_padding(&node->window);
  options->read("dilation_height_factor", 1, kMostStep, &node->window.dilation_h);
  options->read("dilation_width_factor", 1, kMostStep, &node->window.dilation_w);
  options->read("channels_in", 1, kMostStep, &node->channels_in);
  options->read("fused_activation_function", kNoActivation, kRelu6, &node->activation);
  options->read("pad_values", 0, 1, &node->pads_with_one);
  node->groups = 0;  // Larq Compute Engine infers it
  if (node->own) options->read("groups", 1, kMostStep, &node->groups);
}

void read_bmaxpool2d(Options* options, Node* node) {
  options->read_strides_and_padding(&node->window);
  options->read("filter_height", 1, kMostStep, &node->window.height);
  options->read("filter_width", 1, kMostStep, &node->window.width);
  node->window.dilation_h = node->window.dilation_w = 1;
}

// Builtin operators: op stays kOther where the options are not ours.
void read_elementwise(const TfLiteNode& from, Op op, Node* node) {
  const auto* params = static_cast<const TfLiteElementwiseParams*>(from.builtin_data);
  if (!params) return;
  node->activation = params->activation;
  const bool bends = op == Op::kAdd && node->activation == kRelu;
  if (bends || node->activation == kNoActivation) node->op = op;
}

void read_pool(const TfLiteNode& from, Node* node) {
  const auto* params = static_cast<const TfLitePoolParams*>(from.builtin_data);
  if (!params || params->activation != kNoActivation) return;
  node->window = {params->filter_height,
                  params->filter_width,
                  params->stride_height,
                  params->stride_width,
                  1,
                  1,
                  params->padding == kSame};
  node->op = Op::kAveragePool2d;
}

void read_concatenation(const TfLiteNode& from, Node* node) {
  const auto* params = static_cast<const TfLiteConcatenationParams*>(from.builtin_data);
  if (!params || params->activation != kNoActivation) return;
  node->axis = params->axis;
  node->op = Op::kConcatenation;
}

void read_conv2d(const TfLiteNode& from, Node* node) {
  const auto* params = static_cast<const TfLiteConvParams*>(from.builtin_data);
  if (!params || params->activation != kNoActivation) return;
  node->window = {0,
                  0,
                  params->stride_height,
                  params->stride_width,
                  params->dilation_height_factor,
                  params->dilation_width_factor,
                  params->padding == kSame};  // the filter says its size
  node->op = Op::kConv2d;
}

void read_fully_connected(const TfLiteNode& from, Node* node) {
  const auto* params = static_cast<const TfLiteFullyConnectedParams*>(from.builtin_data);
  const bool plain = params && params->activation == kNoActivation && params->weights_format == 0;
  if (plain && !params->keep_num_dims) node->op = Op::kFullyConnected;
}

void read_builtin(int code, const TfLiteNode& from, Node* node) {
  switch (code) {
    case kBuiltinAdd:
      return read_elementwise(from, Op::kAdd, node);
    case kBuiltinSub:
      return read_elementwise(from, Op::kSub, node);
    case kBuiltinPrelu:
      node->op = Op::kPrelu;
      return;
    case kBuiltinRelu:
      node->op = Op::kRelu;
      return;
    case kBuiltinAveragePool2d:
      return read_pool(from, node);
    case kBuiltinConcatenation:
      return read_concatenation(from, node);
    case kBuiltinReshape:
      node->op = Op::kReshape;
      return;
    case kBuiltinPadV2:
      node->op = Op::kPadV2;
      return;
    case kBuiltinConv2d:
      return read_conv2d(from, node);
    case kBuiltinMean: {
      const auto* params = static_cast<const TfLiteReducerParams*>(from.builtin_data);
      if (params && !params->keep_dims) node->op = Op::kMean;
      return;
    }
    case kBuiltinFullyConnected:
      return read_fully_connected(from, node);
    default:
      return;
  }
}

}  // namespace

bool read_options(const TfLiteRegistration& registration, const TfLiteNode& from, Node* node,
                  Status* status) {
  if (registration.builtin_code != kBuiltinCustom) {
    read_builtin(registration.builtin_code, from, node);
    return true;
  }
  node->op = custom_op(registration.custom_name);
  if (node->op != Op::kBconv2d && node->op != Op::kBMaxPool2d) return true;
  Options options(from, status);
  if (node->op == Op::kBMaxPool2d) {
    read_bmaxpool2d(&options, node);
  } else {
    node->own = registration.custom_name[0] == 'B';
    read_bconv2d(&options, node);
  }
  return status->ok();
}

}  // namespace bnn::litert
