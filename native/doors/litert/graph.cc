#include "doors/litert/graph.h"

#include <algorithm>
#include <new>

#include "doors/litert/options.h"
#include "doors/litert/shapes.h"

namespace bnn::litert {
namespace {

constexpr size_t kMostElements = size_t(1) << 31;
constexpr int kMostTensors = 1 << 24;

size_t element_bytes(TfLiteType type) {
  switch (type) {
    case kFloat32:
    case kInt32:
      return 4;
    case kInt8:
    case kBool:
      return 1;
  }
  return 0;
}

int out_size(int in, int filter, int stride, int dilation, bool same) {
  const int64_t reach = same ? in : in - int64_t(filter - 1) * dilation;
  return reach < 1 ? 0 : int((reach + stride - 1) / stride);
}

int pad_before(int in, int filter, int stride, int dilation, bool same) {
  if (!same) return 0;
  const int64_t out = out_size(in, filter, stride, dilation, true);
  const int64_t total = (out - 1) * stride + int64_t(filter - 1) * dilation + 1 - in;
  return total > 0 ? int(total / 2) : 0;
}

}  // namespace

size_t bytes_of(const Tensor& tensor) {
  return tensor.shape.elements() * element_bytes(tensor.type);
}

size_t Shape::elements() const {
  constexpr size_t kMost = size_t(1) << 40;
  size_t count = 1;
  for (int i = 0; i < rank; ++i) {
    if (size_t(dims[i]) > kMost / count) return kMost;
    count *= size_t(dims[i]);
  }
  return count;
}

bool Shape::operator==(const Shape& other) const {
  return rank == other.rank && rank >= 0 && std::equal(dims, dims + rank, other.dims);
}

int Window::out_h(int in_h) const { return out_size(in_h, height, stride_h, dilation_h, same); }
int Window::out_w(int in_w) const { return out_size(in_w, width, stride_w, dilation_w, same); }
int Window::pad_top(int in_h) const { return pad_before(in_h, height, stride_h, dilation_h, same); }
int Window::pad_left(int in_w) const { return pad_before(in_w, width, stride_w, dilation_w, same); }

const char* op_name(const Node& node) {
  constexpr const char* kNames[] = {
      "other", "LceQuantize", "LceDequantize", "LceBconv2d",      "LceBMaxPool2d", "ADD",
      "SUB",   "PRELU",       "RELU",          "AVERAGE_POOL_2D", "CONCATENATION", "RESHAPE",
      "PADV2", "CONV_2D",     "MEAN",          "FULLY_CONNECTED"};
  return node.own ? "BnnBconv2d" : kNames[int(node.op)];
}

void Graph::read_tensor(const TfLiteTensor& from, Tensor* to) const {
  *to = {from.type, {-1, {}}, from.params.scale, from.params.zero_point, nullptr, -1, false};
  if (!from.dims || from.dims->size < 0 || from.dims->size > kMaxRank) return;
  Shape shape = {from.dims->size, {}};
  size_t elements = 1;
  for (int i = 0; i < shape.rank; ++i) {
    shape.dims[i] = from.dims->data[i];
    if (shape.dims[i] < 1 || size_t(shape.dims[i]) > kMostElements / elements) return;
    elements *= size_t(shape.dims[i]);
  }
  to->shape = shape;
  const size_t bytes = bytes_of(*to);
  const bool constant = from.allocation_type == kMmapRo && from.data;
  const bool aligned = reinterpret_cast<uintptr_t>(from.data) % alignof(float) == 0;
  if (constant && aligned && bytes && from.bytes >= bytes) to->data = from.data;
}

bool Graph::read(TfLiteContext* context, const int* nodes, int count, Refusal refuse,
                 Status* status) {
  count_ = count;
  tensor_count_ = int(std::min(context->tensors_size, size_t(kMostTensors)));
  nodes_.reset(new (std::nothrow) Node[size_t(count)]());
  tensors_.reset(new (std::nothrow) Tensor[size_t(tensor_count_)]);
  readers_.reset(new (std::nothrow) int[size_t(tensor_count_)]());
  if (!nodes_ || !tensors_ || !readers_) {
    return status->fail(Code::kNoMemory, "no memory for a graph of %d nodes", count);
  }
  for (int i = 0; i < count; ++i) {
    if (!read_node(context, nodes[i], refuse, &nodes_[i], status)) return false;
  }
  work_out(context, refuse);
  return true;
}

// False: the runtime does not say what it is.
bool Graph::read_node(TfLiteContext* context, int index, Refusal refuse, Node* node,
                      Status* status) {
  TfLiteNode* from = nullptr;
  TfLiteRegistration* registration = nullptr;
  if (context->GetNodeAndRegistration(context, index, &from, &registration) != kTfLiteOk ||
      !from->inputs || !from->outputs) {
    return status->fail(Code::kMalformed, "the runtime has no node %d", index);
  }
  node->index = index;
  node->input_count = std::min(from->inputs->size, kMaxInputs);
  std::copy_n(from->inputs->data, node->input_count, node->inputs);
  for (int i = 0; i < from->inputs->size; ++i) {
    if (is_tensor(from->inputs->data[i])) ++readers_[from->inputs->data[i]];
  }
  node->output = from->outputs->size == 1 ? from->outputs->data[0] : kOptionalTensor;
  Status why;
  if (!read_options(*registration, *from, node, &why)) {
    refuse(context, *node, why.message);
    node->op = Op::kOther;
  }
  if (from->inputs->size > kMaxInputs || !is_tensor(node->output)) node->op = Op::kOther;
  return true;
}

void Graph::work_out(TfLiteContext* context, Refusal refuse) {
  for (int i = 0; i < tensor_count_; ++i) read_tensor(context->tensors[i], &tensors_[i]);
  for (int i = 0; i < count_; ++i) {
    Node* node = &nodes_[i];
    Status why;
    Shape output = {};
    for (int k = 0; k < node->input_count; ++k) {
      if (is_tensor(node->inputs[k])) tensors_[node->inputs[k]].touched = true;
    }
    node->usable =
        node->op != Op::kOther && is_new(*node, &why) && check_node(*this, node, &output, &why);
    if (is_tensor(node->output)) tensors_[node->output].touched = true;
    if (node->usable) {
      tensors_[node->output].shape = output;
      tensors_[node->output].producer = i;
    } else if (is_ours(node->op)) {
      refuse(context, *node, why.message);
    }
  }
}

// Whether a node's output is nobody else's, and comes before all that read it.
bool Graph::is_new(const Node& node, Status* status) const {
  const Tensor& output = tensors_[node.output];
  if (!output.touched && !output.data) return true;
  return status->fail(Code::kMalformed, "its output, tensor %d, is there before", node.output);
}

const Node* Graph::producer(int tensor, Op op) const {
  if (!is_tensor(tensor) || tensors_[tensor].producer < 0) return nullptr;
  const Node* node = &nodes_[tensors_[tensor].producer];
  return node->op == op ? node : nullptr;  // producers are usable
}

}  // namespace bnn::litert
