// A model, or a part of one, as the runtime describes it: nodes in the order of execution, with
// options read and shapes worked out and checked.
#pragma once

#include <memory>

#include "doors/litert/abi.h"
#include "engine/status.h"

namespace bnn::litert {

constexpr int kMaxRank = 6, kMaxInputs = 16;

enum class Op : uint8_t {
  kOther,
  // Larq Compute Engine's, and our own BnnBconv2d, which is an LceBconv2d with a number of groups
  kQuantize,
  kDequantize,
  kBconv2d,
  kBMaxPool2d,
  // builtin
  kAdd,
  kSub,
  kPrelu,
  kRelu,
  kAveragePool2d,
  kConcatenation,
  kReshape,
  kPadV2,
  kConv2d,
  kMean,
  kFullyConnected,
};

struct Shape {
  int rank;
  int32_t dims[kMaxRank];

  size_t elements() const;  // of more than 2^40, 2^40
  int32_t last() const { return rank > 0 ? dims[rank - 1] : 1; }
  // The elements of the same places in all axes but the last.
  size_t rows() const { return elements() / size_t(last()); }
  bool operator==(const Shape& other) const;
  bool operator!=(const Shape& other) const { return !(*this == other); }
};

struct Tensor {
  TfLiteType type;
  Shape shape;  // rank -1: not known, or beyond what we handle
  float scale;
  int32_t zero_point;
  const void* data;  // of a constant, as long as the shape says; else null
  int producer;      // a usable node of the graph, before all that read it; -1: none
  bool touched;      // some node reads or computes it

  const float* floats() const {
    return type == kFloat32 ? static_cast<const float*>(data) : nullptr;
  }
  const int32_t* ints() const {
    return type == kInt32 ? static_cast<const int32_t*>(data) : nullptr;
  }
};

size_t bytes_of(const Tensor& tensor);

// How a window moves over an image [N, H, W, C].
struct Window {
  int height, width, stride_h, stride_w, dilation_h, dilation_w;
  bool same;  // TensorFlow's SAME padding, else VALID

  int out_h(int in_h) const;  // below 1: the window does not fit
  int out_w(int in_w) const;
  int pad_top(int in_h) const;
  int pad_left(int in_w) const;
};

struct Node {
  Op op;
  bool usable;  // whether all that it needs is there and fits, and its output is new; nobody looks
                // at others
  int index;    // the runtime's number
  int input_count, inputs[kMaxInputs], output;  // tensors; kOptionalTensor: none
  Window window;                                // convolutions and pools
  int activation;                               // TfLiteActivation
  bool pads_with_one;                           // of a binary convolution; else with 0
  int groups;                                   // of a convolution
  bool own;                                     // BnnBconv2d
  int channels_in;                              // of a binary convolution
  int axis;                                     // of a concatenation

  int input(int i) const { return i < input_count ? inputs[i] : kOptionalTensor; }
};

// Whether no runtime without us knows it.
inline bool is_ours(Op op) { return op >= Op::kQuantize && op <= Op::kBMaxPool2d; }

// Is told why one of those cannot be run.
using Refusal = void (*)(TfLiteContext*, const Node&, const char* why);

class Graph {
 public:
  // nodes: the runtime's numbers, in the order of execution. A node of Larq Compute Engine or ours
  // that cannot be run is told to `refuse`. False: `status` says why.
  bool read(TfLiteContext* context, const int* nodes, int count, Refusal refuse, Status* status);

  // Shapes anew, from those that the runtime's tensors have now.
  void work_out(TfLiteContext* context, Refusal refuse);

  int nodes() const { return count_; }
  const Node& node(int i) const { return nodes_[i]; }
  const Tensor& tensor(int index) const { return tensors_[index]; }
  int tensors() const { return tensor_count_; }
  bool is_tensor(int index) const { return index >= 0 && index < tensor_count_; }
  // How many inputs of nodes, usable or not, a tensor is.
  int readers(int index) const { return readers_[index]; }
  // The usable node that computes a tensor, if it is one of `op`; else null.
  const Node* producer(int tensor, Op op) const;

 private:
  bool is_new(const Node& node, Status* status) const;
  void read_tensor(const TfLiteTensor& from, Tensor* to) const;
  bool read_node(TfLiteContext* context, int index, Refusal refuse, Node* node, Status* status);

  int count_ = 0, tensor_count_ = 0;
  std::unique_ptr<Node[]> nodes_;
  std::unique_ptr<Tensor[]> tensors_;
  std::unique_ptr<int[]> readers_;
};

// 32-bit words of packed channels, as the files have them.
inline int words32_of(int channels) { return channels / 32 + (channels % 32 != 0); }

// The name by which messages call a node.
const char* op_name(const Node& node);

}  // namespace bnn::litert
