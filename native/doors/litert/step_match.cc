#include "doors/litert/step_match.h"

#include <initializer_list>
#include <new>

namespace bnn::litert {
namespace {

constexpr float kZero = 0.0f;
constexpr Vector kFlat = {&kZero, true};  // the slope of RELU

class Matcher {
 public:
  Matcher(const Graph& graph, StepMatch* match) : graph_(graph), match_(match) { *match = {}; }

  bool run(int tensor);

 private:
  // Takes a node into the match; returns its first input.
  int take(const Node* node);
  int take_offset(int tensor, Offset* offset);
  int take_bend(int tensor);
  int take_shortcut(int tensor);
  bool take_body(int tensor);
  bool take_convolution(int tensor, int shortcut_of);
  bool take_binary(const Node* node, int shortcut_of);
  int take_padding(int tensor, const Node& convolution);
  bool take_input(const Node* quantize, const Node& convolution, int shortcut_of);
  bool take_whole(int tensor);

  bool set_shape(const Node& node, int in_c, int groups);

  const Graph& graph_;
  StepMatch* match_;
};

int Matcher::take(const Node* node) {
  if (match_->node_count < StepMatch::kMostNodes) match_->nodes[match_->node_count++] = node;
  return node->input(0);
}

// A constant that is added or subtracted: the tensor before it; else `tensor`, and no offset.
int Matcher::take_offset(int tensor, Offset* offset) {
  *offset = {};
  for (Op op : {Op::kAdd, Op::kSub}) {
    const Node* node = graph_.producer(tensor, op);
    if (!node) continue;
    const Vector vector =
        as_vector(graph_.tensor(node->input(1)), graph_.tensor(tensor).shape.last());
    if (!vector.data || graph_.tensor(node->input(0)).data) return tensor;
    *offset = {vector, op == Op::kSub};
    return take(node);
  }
  return tensor;
}

// RPReLU, from its end; a tensor that it does not end in is given back.
int Matcher::take_bend(int tensor) {
  const StepMatch start = *match_;
  const int bent = take_offset(tensor, &match_->after);
  const Node* prelu = graph_.producer(bent, Op::kPrelu);
  const Node* relu = graph_.producer(bent, Op::kRelu);
  if (prelu) {
    match_->slope = as_vector(graph_.tensor(prelu->input(1)), graph_.tensor(bent).shape.last());
  } else if (relu) {
    match_->slope = kFlat;
  }
  if (!match_->slope.data) {
    *match_ = start;
    return tensor;
  }
  match_->step.rprelu = true;
  return take_offset(take(prelu ? prelu : relu), &match_->moved);
}

// What a step adds, as a shortcut of the tensor that is returned.
int Matcher::take_shortcut(int tensor) {
  if (const Node* pool = graph_.producer(tensor, Op::kAveragePool2d)) {
    const Window& w = pool->window;
    const Shape& in = graph_.tensor(pool->input(0)).shape;
    const bool halves = w.height == 2 && w.width == 2 && w.stride_h == 2 && w.stride_w == 2;
    if (halves && (w.same || (in.dims[1] % 2 == 0 && in.dims[2] % 2 == 0))) {
      match_->step.shortcut = Shortcut::kAvgPool;
      return take(pool);
    }
  } else if (const Node* copies = graph_.producer(tensor, Op::kConcatenation)) {
    match_->step.shortcut = Shortcut::kRepeat;
    return take(copies);
  }
  match_->step.shortcut = Shortcut::kIdentity;
  return tensor;
}

// The convolution and what is added to it.
bool Matcher::take_body(int tensor) {
  const StepMatch start = *match_;
  if (const Node* add = graph_.producer(tensor, Op::kAdd)) {
    take(add);
    if (add->activation == kRelu) {
      if (match_->step.rprelu) return false;
      match_->slope = kFlat;
      match_->step.rprelu = true;
    }
    const StepMatch added = *match_;
    for (int side : {0, 1}) {
      *match_ = added;
      if (take_convolution(add->input(side), take_shortcut(add->input(1 - side)))) return true;
      *match_ = added;  // what was pooled or repeated may itself be the step's input
      match_->step.shortcut = Shortcut::kIdentity;
      if (take_convolution(add->input(side), add->input(1 - side))) return true;
    }
    *match_ = start;
  }
  return take_convolution(tensor, kOptionalTensor);
}

// shortcut_of: the tensor that the step must read, for its shortcut does; or none.
bool Matcher::take_convolution(int tensor, int shortcut_of) {
  const Node* binary = graph_.producer(tensor, Op::kBconv2d);
  if (binary && graph_.tensor(tensor).type == kFloat32) return take_binary(binary, shortcut_of);
  const Node* real = graph_.producer(tensor, Op::kConv2d);
  if (!real || shortcut_of != kOptionalTensor) return false;
  match_->anchor = real;
  match_->step.kind = StepKind::kConv2d;
  match_->input = take(real);
  return set_shape(*real, graph_.tensor(match_->input).shape.last(), real->groups);
}

bool Matcher::take_binary(const Node* node, int shortcut_of) {
  match_->anchor = node;
  match_->step.kind = StepKind::kBconv2d;
  match_->step.activation = Activation(node->activation);
  match_->step.zero_padding = node->window.same && !node->pads_with_one;
  const int bits = take(node);
  if (const Node* quantize = graph_.producer(bits, Op::kQuantize)) {
    return take_input(quantize, *node, shortcut_of);
  }
  match_->bits_in = true;
  match_->input = bits;
  return graph_.producer(bits, Op::kBconv2d) && shortcut_of == kOptionalTensor &&
         set_shape(*node, node->channels_in, node->groups);
}

// RESHAPE to [.., groups, c], PADV2 of c, RESHAPE back: the tensor before them, or `tensor`.
int Matcher::take_padding(int tensor, const Node& convolution) {
  const Node* joined = graph_.producer(tensor, Op::kReshape);
  const Node* padded = joined ? graph_.producer(joined->input(0), Op::kPadV2) : nullptr;
  const Node* parted = padded ? graph_.producer(padded->input(0), Op::kReshape) : nullptr;
  if (!parted) return tensor;
  const Shape &all = graph_.tensor(parted->input(0)).shape,
              &groups = graph_.tensor(parted->output).shape,
              &wide = graph_.tensor(padded->output).shape, &out = graph_.tensor(tensor).shape;
  if (all.rank != 4 || groups.rank != 4 || wide.rank != 4 || out.rank != 4) return tensor;
  const int32_t* pads = graph_.tensor(padded->input(1)).ints();
  for (int i = 0; i < 7; ++i) {
    if (pads[i] != 0) return tensor;  // only the last axis, at its end
  }
  const bool fits = groups.dims[2] == convolution.groups &&
                    wide.last() * convolution.groups == convolution.channels_in &&
                    groups.last() * convolution.groups == all.last() &&
                    all.dims[0] == out.dims[0] && all.dims[1] == out.dims[1] &&
                    all.dims[2] == out.dims[2];
  const bool plus_one = !(*graph_.tensor(padded->input(2)).floats() < 0.0f);
  // Where zeros are padded, the windows at the edge have fewer of the added channels than others;
  // and an activation sees the sum with them.
  if (!fits || !plus_one || match_->step.zero_padding ||
      match_->step.activation != Activation::kNone) {
    return tensor;
  }
  take(joined);
  take(padded);
  return take(parted);
}

bool Matcher::take_input(const Node* quantize, const Node& convolution, int shortcut_of) {
  const int signs = take(quantize);
  if (graph_.tensor(signs).type != kFloat32) return false;
  match_->input = take_padding(signs, convolution);
  if (match_->input == signs && graph_.tensor(signs).shape.last() != convolution.channels_in) {
    return false;
  }
  // An offset belongs to the threshold, unless the shortcut has it, too.
  if (match_->input != shortcut_of) match_->input = take_offset(match_->input, &match_->before);
  return (shortcut_of == kOptionalTensor || match_->input == shortcut_of) &&
         set_shape(convolution, graph_.tensor(match_->input).shape.last(), convolution.groups);
}

// A pool or a linear layer.
bool Matcher::take_whole(int tensor) {
  const Node* mean = graph_.producer(tensor, Op::kMean);
  const Node* linear = graph_.producer(tensor, Op::kFullyConnected);
  const Node* node = mean ? mean : linear;
  if (!node) return false;
  match_->anchor = node;
  match_->step.kind = mean ? StepKind::kGlobalAvgpool : StepKind::kLinear;
  match_->input = take(node);
  const Shape &in = graph_.tensor(match_->input).shape, &out = graph_.tensor(tensor).shape;
  const int height = mean ? in.dims[1] : 1, width = mean ? in.dims[2] : 1;
  match_->step.shape = {height, width, in.last(), 1, 1, out.last(), 1, 1, 1, 0, 0};
  return true;
}

// The engine's shape, if it has one: square odd windows, stride 1 or 2, TensorFlow's SAME.
bool Matcher::set_shape(const Node& node, int in_c, int groups) {
  const Window& w = node.window;
  const Shape &in = graph_.tensor(node.input(0)).shape, &out = graph_.tensor(node.output).shape;
  const bool pointwise = w.height == 1 && w.width == 1;
  if (w.height != w.width || w.height % 2 == 0 || w.height > kMaxKernel ||
      w.stride_h != w.stride_w || w.stride_h > kMaxStride || !(w.same || pointwise)) {
    return false;
  }
  if (!pointwise && (w.dilation_h != 1 || w.dilation_w != 1)) return false;
  if (pointwise) match_->step.zero_padding = false;
  const bool packed = graph_.tensor(node.output).type == kInt32;
  const int out_c = packed ? graph_.tensor(node.input(1)).shape.dims[0] : out.last();
  match_->step.shape = {in.dims[1],  in.dims[2], in_c,     out.dims[1],
                        out.dims[2], out_c,      w.height, w.stride_h,
                        groups,      0,          0};
  return true;
}

bool Matcher::run(int tensor) {
  if (!graph_.is_tensor(tensor)) return false;
  const bool packed = graph_.tensor(tensor).type == kInt32;
  if (packed) {
    const Node* binary = graph_.producer(tensor, Op::kBconv2d);
    if (!binary || !take_binary(binary, kOptionalTensor)) return false;
    match_->step.activation = Activation::kNone;  // a threshold of the sum knows none
    if (match_->step.zero_padding) return false;
  } else if (!take_whole(tensor) && !take_body(take_bend(tensor))) {
    return false;
  }
  if (match_->node_count == StepMatch::kMostNodes) return false;
  Step step = match_->step;
  step.float_out = !packed;
  step.bits_out = packed;
  Status status;
  return check_step(0, &step, &status);
}

}  // namespace

bool StepMatches::find(const Graph& graph, Status* status) {
  const size_t nodes = size_t(graph.nodes());
  found_.reset(new (std::nothrow) bool[nodes]());
  matches_.reset(new (std::nothrow) StepMatch[nodes]);
  if (!found_ || !matches_) return status->fail(Code::kNoMemory, "no memory for %zu steps", nodes);
  for (int i = 0; i < graph.nodes(); ++i) {
    StepMatch* match = &matches_[i];
    found_[i] = graph.node(i).usable && Matcher(graph, match).run(graph.node(i).output) &&
                (!match->bits_in || found_[graph.tensor(match->input).producer]);
  }
  return true;
}

}  // namespace bnn::litert
