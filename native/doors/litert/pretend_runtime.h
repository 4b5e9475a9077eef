// For tests: as much of TensorFlow Lite as our delegate calls, so that tests and libFuzzer reach it
// without a runtime around it, and every tensor, shape and options buffer is exactly as long as it
// says. What no delegate takes is not run: its outputs are zeros of the shape that the model says.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "doors/litert/abi.h"
#include "engine/memory.h"

// What a runtime looks up in our library.
extern "C" {
bnn::litert::TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys,
                                                           const char* const* values, size_t count,
                                                           void (*report_error)(const char*));
void tflite_plugin_destroy_delegate(bnn::litert::TfLiteDelegate* delegate);
}

namespace bnn::litert {

struct EndPlugin {
  void operator()(TfLiteDelegate* delegate) const { tflite_plugin_destroy_delegate(delegate); }
};
using Plugin = std::unique_ptr<TfLiteDelegate, EndPlugin>;

// Our delegate with options, key and value by turns. Null when it refuses them; `message` is what
// it said.
Plugin load_plugin(const std::vector<const char*>& options, std::string* message);

struct ModelTensor {
  TfLiteType type = kFloat32;
  std::vector<int> dims;
  bool constant = false;
  std::vector<char> bytes;  // of a constant
  int misaligned = 0;       // bytes before it, from an aligned place on
  float scale = 0.0f;
  int32_t zero_point = 0;
};

struct ModelNode {
  int builtin = kBuiltinCustom;
  std::string name;  // of a custom operator
  std::vector<int> inputs, outputs;
  std::vector<char> options;  // a struct of abi.h, or a custom operator's FlexBuffer
};

struct Model {
  std::vector<ModelTensor> tensors;
  std::vector<ModelNode> nodes;
  std::vector<int> inputs, outputs;
};

class Interpreter {
 public:
  // most_bytes: a tensor that needs more finds no memory.
  Interpreter(const Model& model, int threads, size_t most_bytes = SIZE_MAX);
  Interpreter(const Interpreter&) = delete;
  ~Interpreter();

  // Lets a delegate take its nodes; it must outlive this. Once.
  bool apply(TfLiteDelegate* delegate);
  // How many nodes it did not take.
  int left() const { return left_; }
  // A new shape for an input of the model; ends what allocate() began.
  bool resize(int tensor, const std::vector<int>& dims);
  bool allocate();
  bool invoke();

  const TfLiteTensor& tensor(int index) const { return tensors_[size_t(index)]; }
  // All that was reported, a line each.
  const std::string& messages() const { return messages_; }

 private:
  using Array = std::unique_ptr<TfLiteIntArray, Free>;
  struct Operator {
    TfLiteNode node = {};
    TfLiteRegistration registration = {};
    Array inputs, outputs, replaced;
    Memory options, name;
    TfLiteDelegateParams params = {};
  };
  struct Subset {
    bool claimed;
    std::vector<int> nodes, inputs, outputs;
  };

  static Array array_of(const std::vector<int>& values);
  void load_tensor(const ModelTensor& from, TfLiteTensor* to);
  void load_node(const ModelNode& from);
  bool is_sound() const;
  bool place(int tensor);
  bool partition(const TfLiteIntArray& claimed, std::vector<Subset>* subsets) const;
  bool ready(const ModelNode& node, const std::vector<int>& subset_of) const;
  void add_kernel(const Subset& subset, const TfLiteRegistration& registration,
                  TfLiteDelegate* delegate);
  TfLiteStatus replace(const TfLiteRegistration& registration, const TfLiteIntArray& claimed,
                       TfLiteDelegate* delegate);
  void report(const char* message) { messages_.append(message).append("\n"); }

  static Interpreter* of(TfLiteContext* context) {
    return static_cast<Interpreter*>(context->impl);
  }
  static void report_error(TfLiteContext* context, const char* format, ...);
  static TfLiteStatus get_plan(TfLiteContext* context, TfLiteIntArray** plan);
  static TfLiteStatus get_node(TfLiteContext* context, int index, TfLiteNode** node,
                               TfLiteRegistration** registration);
  static TfLiteStatus resize_tensor(TfLiteContext* context, TfLiteTensor* tensor,
                                    TfLiteIntArray* dims);

  const Model model_;
  const size_t most_bytes_;
  TfLiteContext context_ = {};
  std::vector<TfLiteTensor> tensors_;
  std::vector<Array> dims_;    // of the tensors
  std::vector<Memory> bytes_;  // of the tensors
  std::vector<std::unique_ptr<Operator>> operators_;
  std::vector<int> plan_;  // operators
  Array plan_array_;
  std::string messages_;
  int left_ = 0;
  bool allocated_ = false;
};

}  // namespace bnn::litert
