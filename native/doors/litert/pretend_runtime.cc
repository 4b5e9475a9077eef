#include "doors/litert/pretend_runtime.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace bnn::litert {
namespace {

constexpr int kRuntimesOwn = 2;           // an allocation that is no constant: kTfLiteArenaRw
constexpr int kNever = -1, kAlways = -2;  // in place of the subset that computes a tensor

size_t element_bytes(TfLiteType type) {
  return type == kFloat32 || type == kInt32 ? 4 : type == kInt8 || type == kBool ? 1 : 8;
}

// False: a size that is none.
bool bytes_for(const TfLiteTensor& tensor, size_t most, size_t* bytes) {
  *bytes = element_bytes(tensor.type);
  for (int i = 0; i < tensor.dims->size; ++i) {
    const int size = tensor.dims->data[i];
    if (size < 0 || (size > 0 && *bytes > most / size_t(size))) return false;
    *bytes *= size_t(size);
  }
  return *bytes <= most;
}

Memory exact(const void* data, size_t count) {
  Memory memory(static_cast<char*>(std::malloc(count)));
  if (count) std::memcpy(memory.get(), data, count);
  return memory;
}

void sort_out(std::vector<int>* values) {
  std::sort(values->begin(), values->end());
  values->erase(std::unique(values->begin(), values->end()), values->end());
}

// Outside of a delegate's Prepare and a kernel's init.
TfLiteStatus no_node(TfLiteContext*, int, TfLiteNode**, TfLiteRegistration**) { std::abort(); }
TfLiteStatus no_plan(TfLiteContext*, TfLiteIntArray**) { std::abort(); }
TfLiteStatus no_replacement(TfLiteContext*, TfLiteRegistration, const TfLiteIntArray*,
                            TfLiteDelegate*) {
  std::abort();
}

std::string* said = nullptr;  // a plugin's reporter knows no context

}  // namespace

Plugin load_plugin(const std::vector<const char*>& options, std::string* message) {
  std::vector<const char*> keys, values;
  for (size_t i = 0; i < options.size(); ++i) (i % 2 ? values : keys).push_back(options[i]);
  message->clear();
  said = message;
  return Plugin(tflite_plugin_create_delegate(keys.data(), values.data(), values.size(),
                                              [](const char* text) { *said = text; }));
}

Interpreter::Interpreter(const Model& model, int threads, size_t most_bytes)
    : model_(model), most_bytes_(most_bytes) {
  tensors_.resize(model.tensors.size());
  for (size_t i = 0; i < tensors_.size(); ++i) load_tensor(model.tensors[i], &tensors_[i]);
  for (const ModelNode& node : model.nodes) load_node(node);
  context_.tensors_size = tensors_.size();
  context_.tensors = tensors_.data();
  context_.impl = this;
  context_.ResizeTensor = resize_tensor;
  context_.ReportError = report_error;
  context_.GetExecutionPlan = no_plan;
  context_.GetNodeAndRegistration = no_node;
  context_.ReplaceNodeSubsetsWithDelegateKernels = no_replacement;
  context_.recommended_num_threads = threads;
}

Interpreter::~Interpreter() {
  for (const auto& op : operators_) {
    if (op->registration.free) op->registration.free(&context_, op->node.user_data);
  }
}

Interpreter::Array Interpreter::array_of(const std::vector<int>& values) {
  const size_t bytes = values.size() * sizeof(int);
  Array array(static_cast<TfLiteIntArray*>(std::malloc(sizeof(TfLiteIntArray) + bytes)));
  array->size = int(values.size());
  if (bytes) std::memcpy(array->data, values.data(), bytes);
  return array;
}

void Interpreter::load_tensor(const ModelTensor& from, TfLiteTensor* to) {
  dims_.push_back(array_of(from.dims));
  bytes_.emplace_back();
  *to = TfLiteTensor{};
  to->type = from.type;
  to->dims = dims_.back().get();
  to->params = {from.scale, from.zero_point};
  to->allocation_type = TfLiteAllocation(kRuntimesOwn);
  if (!from.constant) {
    if (!bytes_for(*to, most_bytes_, &to->bytes)) to->bytes = 0;
    return;
  }
  std::vector<char> bytes(size_t(from.misaligned));
  bytes.insert(bytes.end(), from.bytes.begin(), from.bytes.end());
  bytes_.back() = exact(bytes.data(), bytes.size());
  to->allocation_type = kMmapRo;
  to->data = bytes_.back().get() + from.misaligned;
  to->bytes = from.bytes.size();
}

void Interpreter::load_node(const ModelNode& from) {
  operators_.push_back(std::make_unique<Operator>());
  Operator& op = *operators_.back();
  op.inputs = array_of(from.inputs);
  op.outputs = array_of(from.outputs);
  op.node.inputs = op.inputs.get();
  op.node.outputs = op.outputs.get();
  op.registration.builtin_code = from.builtin;
  if (!from.options.empty()) op.options = exact(from.options.data(), from.options.size());
  if (from.builtin != kBuiltinCustom) {
    op.node.builtin_data = op.options.get();
  } else {
    op.node.custom_initial_data = op.options.get();
    op.node.custom_initial_data_size = int(from.options.size());
    op.name = exact(from.name.c_str(), from.name.size() + 1);
    op.registration.custom_name = op.name.get();
  }
  plan_.push_back(int(operators_.size()) - 1);
  ++left_;
}

// What the runtime makes sure of when it opens a file.
bool Interpreter::is_sound() const {
  const auto is_tensor = [&](int index) { return index >= 0 && index < int(tensors_.size()); };
  for (const ModelNode& node : model_.nodes) {
    for (int input : node.inputs) {
      const auto& outputs = node.outputs;
      if (input != kOptionalTensor && !is_tensor(input)) return false;
      if (std::find(outputs.begin(), outputs.end(), input) != outputs.end()) return false;
    }
    if (!std::all_of(node.outputs.begin(), node.outputs.end(), is_tensor)) return false;
  }
  return std::all_of(model_.inputs.begin(), model_.inputs.end(), is_tensor) &&
         std::all_of(model_.outputs.begin(), model_.outputs.end(), is_tensor);
}

bool Interpreter::apply(TfLiteDelegate* delegate) {
  if (!is_sound()) {
    report("the model is no graph");
    return false;
  }
  context_.GetExecutionPlan = get_plan;
  context_.GetNodeAndRegistration = get_node;
  context_.ReplaceNodeSubsetsWithDelegateKernels =
      [](TfLiteContext* context, TfLiteRegistration registration, const TfLiteIntArray* claimed,
         TfLiteDelegate* by) { return of(context)->replace(registration, *claimed, by); };
  const TfLiteStatus status = delegate->Prepare(&context_, delegate);
  context_.GetExecutionPlan = no_plan;
  context_.GetNodeAndRegistration = no_node;
  context_.ReplaceNodeSubsetsWithDelegateKernels = no_replacement;
  return status == kTfLiteOk;
}

bool Interpreter::resize(int tensor, const std::vector<int>& dims) {
  allocated_ = false;
  return resize_tensor(&context_, &tensors_[size_t(tensor)], array_of(dims).release()) == kTfLiteOk;
}

// Memory of a tensor that is no constant, as garbage.
bool Interpreter::place(int tensor) {
  TfLiteTensor& to = tensors_[size_t(tensor)];
  if (to.allocation_type == kMmapRo) return true;
  if (!bytes_for(to, most_bytes_, &to.bytes)) {
    report("no memory for a tensor");
    return false;
  }
  Memory& bytes = bytes_[size_t(tensor)];
  bytes.reset(static_cast<char*>(std::malloc(to.bytes)));
  if (to.bytes) std::memset(bytes.get(), 0xFF, to.bytes);
  to.data = bytes.get();
  return true;
}

bool Interpreter::allocate() {
  allocated_ = false;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (tensors_[i].allocation_type == kMmapRo) continue;
    tensors_[i].data = nullptr;
    bytes_[i].reset();
  }
  for (int input : model_.inputs) {
    size_t bytes = 0;
    if (bytes_for(tensors_[size_t(input)], most_bytes_, &bytes)) continue;
    report("no memory for an input");
    return false;
  }
  for (int index : plan_) {
    Operator& op = *operators_[size_t(index)];
    if (op.registration.prepare && op.registration.prepare(&context_, &op.node) != kTfLiteOk) {
      return false;
    }
  }
  bool good = true;
  for (int input : model_.inputs) good = good && place(input);
  for (int index : plan_) {
    const TfLiteIntArray& outputs = *operators_[size_t(index)]->outputs;
    for (int i = 0; i < outputs.size; ++i) good = good && place(outputs.data[i]);
  }
  return allocated_ = good;
}

bool Interpreter::invoke() {
  if (!allocated_) return false;
  for (int index : plan_) {
    Operator& op = *operators_[size_t(index)];
    if (op.registration.invoke) {
      if (op.registration.invoke(&context_, &op.node) != kTfLiteOk) return false;
      continue;
    }
    for (int i = 0; i < op.outputs->size; ++i) {
      const TfLiteTensor& output = tensors_[size_t(op.outputs->data[i])];
      if (output.allocation_type != kMmapRo && output.bytes) {
        std::memset(output.data, 0, output.bytes);
      }
    }
  }
  return true;
}

bool Interpreter::ready(const ModelNode& node, const std::vector<int>& subset_of) const {
  return std::all_of(node.inputs.begin(), node.inputs.end(), [&](int input) {
    return input == kOptionalTensor || subset_of[size_t(input)] != kNever;
  });
}

// As the runtime does it: from the nodes whose inputs are there, all of one kind that can follow
// each other, then all of the other kind, and so on. Nodes whose inputs are never there fall out.
bool Interpreter::partition(const TfLiteIntArray& claimed, std::vector<Subset>* subsets) const {
  std::vector<bool> is_claimed(model_.nodes.size()), done(model_.nodes.size());
  for (int i = 0; i < claimed.size; ++i) is_claimed[size_t(claimed.data[i])] = true;
  std::vector<int> subset_of(tensors_.size(), kAlways);
  for (const ModelNode& node : model_.nodes) {
    for (int output : node.outputs) subset_of[size_t(output)] = kNever;
  }
  const auto take = [&](size_t i) {
    const int current = int(subsets->size()) - 1;
    const ModelNode& node = model_.nodes[i];
    Subset& subset = subsets->back();
    if (done[i] || !ready(node, subset_of)) return false;
    if (subset.nodes.empty()) subset.claimed = is_claimed[i];
    if (subset.claimed != is_claimed[i]) return false;
    done[i] = true;
    subset.nodes.push_back(int(i));
    for (int output : node.outputs) subset_of[size_t(output)] = current;
    for (int input : node.inputs) {
      if (input == kOptionalTensor || subset_of[size_t(input)] == current) continue;
      subset.inputs.push_back(input);
      const int from = subset_of[size_t(input)];
      if (from >= 0) (*subsets)[size_t(from)].outputs.push_back(input);
    }
    return true;
  };
  do {
    subsets->emplace_back();
    for (bool more = true; more;) {
      more = false;
      for (size_t i = 0; i < model_.nodes.size(); ++i) more = take(i) || more;
    }
  } while (!subsets->back().nodes.empty());
  subsets->pop_back();
  for (int output : model_.outputs) {
    const int from = subset_of[size_t(output)];
    if (from == kNever) return false;
    if (from >= 0) (*subsets)[size_t(from)].outputs.push_back(output);
  }
  for (Subset& subset : *subsets) {
    sort_out(&subset.inputs);
    sort_out(&subset.outputs);
  }
  return true;
}

void Interpreter::add_kernel(const Subset& subset, const TfLiteRegistration& registration,
                             TfLiteDelegate* delegate) {
  operators_.push_back(std::make_unique<Operator>());
  Operator& op = *operators_.back();
  op.inputs = array_of(subset.inputs);
  op.outputs = array_of(subset.outputs);
  op.replaced = array_of(subset.nodes);
  op.params = {delegate, op.replaced.get(), op.inputs.get(), op.outputs.get()};
  op.registration = registration;
  op.node.inputs = op.inputs.get();
  op.node.outputs = op.outputs.get();
  op.node.delegate = delegate;
  op.node.builtin_data = &op.params;
  op.node.user_data =
      op.registration.init(&context_, reinterpret_cast<const char*>(&op.params), sizeof op.params);
  for (int output : subset.outputs) tensors_[size_t(output)].delegate = delegate;
  plan_.push_back(int(operators_.size()) - 1);
}

TfLiteStatus Interpreter::replace(const TfLiteRegistration& registration,
                                  const TfLiteIntArray& claimed, TfLiteDelegate* delegate) {
  std::vector<Subset> subsets;
  if (!partition(claimed, &subsets)) {
    report("nothing computes an output of the model");
    return kTfLiteError;
  }
  plan_.clear();
  left_ = 0;
  for (const Subset& subset : subsets) {
    if (subset.claimed) {
      add_kernel(subset, registration, delegate);
    } else {
      plan_.insert(plan_.end(), subset.nodes.begin(), subset.nodes.end());
      left_ += int(subset.nodes.size());
    }
  }
  return kTfLiteOk;
}

void Interpreter::report_error(TfLiteContext* context, const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  of(context)->report(text);
}

TfLiteStatus Interpreter::get_plan(TfLiteContext* context, TfLiteIntArray** plan) {
  Interpreter* self = of(context);
  self->plan_array_ = array_of(self->plan_);
  *plan = self->plan_array_.get();
  return kTfLiteOk;
}

TfLiteStatus Interpreter::get_node(TfLiteContext* context, int index, TfLiteNode** node,
                                   TfLiteRegistration** registration) {
  Interpreter* self = of(context);
  if (index < 0 || index >= int(self->operators_.size())) return kTfLiteError;
  *node = &self->operators_[size_t(index)]->node;
  *registration = &self->operators_[size_t(index)]->registration;
  return kTfLiteOk;
}

TfLiteStatus Interpreter::resize_tensor(TfLiteContext* context, TfLiteTensor* tensor,
                                        TfLiteIntArray* dims) {
  Interpreter* self = of(context);
  Array taken(dims);
  if (tensor->allocation_type == kMmapRo) {
    self->report("a constant has a fixed size");
    return kTfLiteError;
  }
  const size_t index = size_t(tensor - self->tensors_.data());
  TfLiteTensor resized = *tensor;
  resized.dims = taken.get();
  resized.data = nullptr;
  if (!bytes_for(resized, self->most_bytes_, &resized.bytes)) {
    self->report("no memory for a tensor");
    return kTfLiteError;
  }
  *tensor = resized;
  self->dims_[index] = std::move(taken);
  self->bytes_[index].reset();
  return kTfLiteOk;
}

}  // namespace bnn::litert
