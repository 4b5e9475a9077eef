// The delegate under a pretended runtime: networks, single operators, inner tensors, sizes that
// change, threads, and what it refuses.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "doors/litert/flexbuffer.h"
#include "doors/litert/plain_nodes.h"
#include "doors/litert/test_models.h"
#include "doors/litert/test_operators.h"
#include "engine/test_network.h"

namespace bnn::litert {
namespace {

constexpr uint64_t kSeed = 5;

Plugin plugin(const char* threads) {
  std::string message;
  Plugin made = load_plugin({"threads", threads}, &message);
  check(made != nullptr, message.c_str());
  return made;
}

// --- options ---

void test_flexbuffers_are_read() {
  // Written by the Python package flatbuffers: keys of one byte, values of eight.
  const uint8_t kWritten[] =
      "padding\0stride\0big\0\3\5\25\16\0\4\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"
      "\3\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\1\0\0\0\0\0\0\0"
      "\376\377\377\377\377\377\377\377\7\7\7\33\47\1";
  const FlexOptions written = {{"big", int64_t(1) << 40}, {"padding", 1}, {"stride", -2}};
  const char* from = reinterpret_cast<const char*>(kWritten);
  std::vector<std::vector<char>> buffers = {{from, from + sizeof kWritten - 1}};
  for (int width : {2, 4, 8})
    buffers.push_back(flexbuffer({{"padding", 1}, {"stride", -2}}, width));
  for (const std::vector<char>& bytes : buffers) {
    FlexMap map;
    int64_t value = 0;
    check(map.parse(bytes.data(), bytes.size()), "a FlexBuffer map");
    for (const auto& option : written) {
      if (option.first == "big" && &bytes != &buffers[0]) continue;
      check(map.find(option.first.c_str(), &value) && value == option.second, "an integer");
    }
    check(!map.find("pad", &value) && !map.find("paddings", &value), "no such key");
  }
}

// Whatever the bytes are, nothing past them is read.
void test_flexbuffers_may_be_damaged() {
  const FlexOptions options = {{"channels_in", 64}, {"padding", 1}, {"stride_height", 300}};
  for (int width : {2, 4, 8}) {
    const std::vector<char> good = flexbuffer(options, width);
    const auto look = [&](const char* from, size_t size) {
      const Memory bytes(static_cast<char*>(std::malloc(size)));
      std::memcpy(bytes.get(), from, size);
      FlexMap map;
      int64_t value = 0;
      if (!map.parse(bytes.get(), size)) return;
      for (const auto& option : options) map.find(option.first.c_str(), &value);
    };
    for (size_t i = 0; i < good.size(); ++i) {
      look(good.data(), i);
      look(good.data() + i, good.size() - i);
      std::vector<char> flipped = good;
      for (int value = 0; value < 256; ++value) {
        flipped[i] = char(value);
        look(flipped.data(), flipped.size());
      }
    }
  }
}

void test_options_of_the_delegate() {
  std::string message;
  check(load_plugin({}, &message) != nullptr, message.c_str());
  check(load_plugin({"threads", "3", "kernel", "scalar"}, &message) != nullptr, message.c_str());
  const std::vector<const char*> refused[] = {
      {"cores", "3"},  {"threads", "0"},   {"threads", "-1"},    {"threads", "3x"},
      {"threads", ""}, {"threads", "257"}, {"kernel", "fastest"}};
  for (const auto& options : refused) {
    check(!load_plugin(options, &message), "a wrong option is refused");
    check(message.find(options[0]) != std::string::npos ||
              message.find("fastest") != std::string::npos,
          "the message names it");
  }
  tflite_plugin_destroy_delegate(nullptr);
}

// --- networks ---

std::vector<Step> network_steps(int size) {
  const auto next = [](int in) { return (in + 1) / 2; };
  const int small = next(size), least = next(small);
  Step relu = convolution(StepKind::kBconv2d, least, 128, 128, 1, 1, 2, Shortcut::kNone, false,
                          true, true, 1);
  relu.activation = Activation::kRelu;
  Step zeros = convolution(StepKind::kBconv2d, least, 128, 64, 3, 1, 1, Shortcut::kNone, true, true,
                           false, 0);
  zeros.zero_padding = true;
  return {
      convolution(StepKind::kConv2d, size, 3, 64, 3, 2, 1, Shortcut::kNone, true, true, true, 1),
      convolution(StepKind::kBconv2d, small, 64, 64, 3, 1, 8, Shortcut::kIdentity, true, true, true,
                  0),
      convolution(StepKind::kBconv2d, small, 64, 128, 1, 1, 1, Shortcut::kRepeat, true, true, true,
                  1),
      convolution(StepKind::kBconv2d, small, 128, 128, 3, 2, 64, Shortcut::kAvgPool, true, false,
                  true, 1),
      convolution(StepKind::kBconv2d, least, 128, 128, 3, 1, 4, Shortcut::kNone, false, false, true,
                  0),
      relu,
      zeros,
      plain(StepKind::kGlobalAvgpool, least, 64, 64),
      plain(StepKind::kLinear, 1, 64, 10)};
}

// Groups of 31 channels: what pads them adds an odd number.
std::vector<Step> odd_steps() {
  return {convolution(StepKind::kConv2d, 9, 3, 62, 3, 2, 1, Shortcut::kNone, false, true, true, 1),
          convolution(StepKind::kBconv2d, 5, 62, 62, 3, 1, 2, Shortcut::kIdentity, true, true,
                      false, 0),
          plain(StepKind::kGlobalAvgpool, 5, 62, 62)};
}

// A network as a file, its model, and the engine's answer.
struct Case {
  Bytes bytes;
  NetworkModel network;
  std::vector<float> expected;

  Case(const std::vector<Step>& steps, SmallGroups small_groups, int batch)
      : bytes(encode(steps, 3)) {
    Status status;
    BnnFile file;
    check(file.parse(bytes.data(), bytes.size() * 8, &status), status.message);
    check(network_model(file, small_groups, batch, &network), "a model");
    expected = engine_result(load(bytes, nullptr, &status).get(), kSeed, batch);
  }
};

bool invoke(const Model& model, Interpreter* runtime) {
  if (!runtime->allocate()) return false;
  fill_inputs(model, kSeed, runtime);
  return runtime->invoke();
}

std::vector<float> floats_of(const TfLiteTensor& tensor) {
  const float* data = static_cast<const float*>(tensor.data);
  return std::vector<float>(data, data + tensor.bytes / sizeof(float));
}

bool is_equal(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && !std::memcmp(a.data(), b.data(), a.size() * sizeof(float));
}

bool is_near(const std::vector<float>& a, const std::vector<float>& b) {
  bool good = a.size() == b.size();
  for (size_t i = 0; good && i < a.size(); ++i) good = std::fabs(a[i] - b[i]) < 1e-5f;
  return good;
}

// Runs a model whose nodes are all claimed; its last output.
std::vector<float> run(const Model& model, Interpreter* runtime) {
  check(runtime->left() == 0, "all nodes are claimed");
  check(invoke(model, runtime), runtime->messages().c_str());
  check(runtime->messages().empty(), runtime->messages().c_str());
  return floats_of(runtime->tensor(model.outputs.back()));
}

std::vector<float> run(const Model& model, TfLiteDelegate* delegate) {
  Interpreter runtime(model, 1);
  check(runtime.apply(delegate), runtime.messages().c_str());
  return run(model, &runtime);
}

void test_networks() {
  for (const char* threads : {"1", "3"}) {
    const Plugin delegate = plugin(threads);
    for (int batch : {1, 3}) {
      for (SmallGroups small_groups : {SmallGroups::kNative, SmallGroups::kPad}) {
        const Case even(network_steps(13), small_groups, batch),
            odd(odd_steps(), small_groups, batch);
        check(!even.network.surplus, "an even number of channels is padded");
        check(is_equal(run(even.network.model, delegate.get()), even.expected),
              "the engine's bits");
        const std::vector<float> found = run(odd.network.model, delegate.get());
        if (small_groups == SmallGroups::kNative) {
          check(is_equal(found, odd.expected), "the engine's bits");
        } else {
          check(odd.network.surplus && is_near(found, odd.expected),
                "but for the surplus' rounding");
        }
      }
    }
  }
}

// Every tensor as an output: each node is right by its inputs, and the result stays the engine's.
void test_inner_tensors() {
  const Plugin delegate = plugin("1");
  for (SmallGroups small_groups : {SmallGroups::kNative, SmallGroups::kPad}) {
    const Case whole(network_steps(13), small_groups, 2);
    Model model = whole.network.model;
    const int result = model.outputs[0];
    for (const ModelNode& node : model.nodes) {
      model.outputs = {node.outputs[0], result};
      check(is_equal(run(model, delegate.get()), whole.expected), "with one inner tensor");
    }
    model.outputs.clear();
    for (const ModelNode& node : model.nodes) model.outputs.push_back(node.outputs[0]);
    Interpreter runtime(model, 1);
    check(runtime.apply(delegate.get()), runtime.messages().c_str());
    check(is_equal(run(model, &runtime), whole.expected), "with all inner tensors");
    for (const ModelNode& node : model.nodes) {
      const std::string name = "node " + std::to_string(node.builtin) + " " + node.name;
      check(is_right(node, runtime), name.c_str());
    }
  }
}

void test_operators() {
  SplitMix64 random{kSeed};
  const Plugin one = plugin("1"), three = plugin("3");
  for (int i = 0; i < 1000; ++i) {
    const Model model = operator_model(&random);
    Interpreter runtime(model, 1);
    check(runtime.apply((i % 4 ? one : three).get()), runtime.messages().c_str());
    run(model, &runtime);
    const std::string name = model.nodes[0].name + " of model " + std::to_string(i);
    check(is_right(model.nodes[0], runtime), name.c_str());
  }
}

FlexOptions bconv2d_options(int channels) {
  return {{"channels_in", channels},
          {"dilation_height_factor", 1},
          {"dilation_width_factor", 1},
          {"fused_activation_function", 0},
          {"pad_values", 1},
          {"padding", 0},
          {"stride_height", 1},
          {"stride_width", 1}};
}

// The first convolution is no step of the engine, so the second is none either, and what ends it is
// the runtime's.
void test_bits_that_no_step_makes() {
  const Plugin delegate = plugin("1");
  const FlexOptions same = bconv2d_options(32);
  FlexOptions valid = same;
  valid["padding"] = 1;
  const std::vector<int32_t> words(32 * 9, 0x55AA0FF0), thresholds(32, 144);
  const std::vector<float> ones(32, 1.0f);
  ModelWriter writer;
  const int images = writer.tensor(kFloat32, {1, 6, 6, 32});
  const int filter = writer.constant(kInt32, {32, 3, 3, 1}, words.data());
  const int vector = writer.constant(kFloat32, {32}, ones.data());
  const int packed = writer.custom("LceQuantize", {images}, kInt32, {1, 6, 6, 1}, {});
  const int bits = writer.custom("LceBconv2d",
                                 {packed, filter, kOptionalTensor, kOptionalTensor,
                                  writer.constant(kInt32, {32}, thresholds.data())},
                                 kInt32, {1, 4, 4, 1}, valid);
  const int values = writer.custom("LceBconv2d", {bits, filter, vector, vector, kOptionalTensor},
                                   kFloat32, {1, 4, 4, 32}, same);
  const int bent = writer.builtin(kBuiltinPrelu, {values, vector}, {1, 4, 4, 32});
  writer.model.inputs = {images};
  writer.model.outputs = {packed, bits, values, bent};
  Interpreter runtime(writer.model, 1);
  check(runtime.apply(delegate.get()) && runtime.left() == 1, "the PRELU is left");
  check(invoke(writer.model, &runtime), runtime.messages().c_str());
  for (int i : {0, 1, 2}) check(is_right(writer.model.nodes[size_t(i)], runtime), "a binary node");
}

// A convolution of other channels than were packed sees those that its options say.
void test_channels_that_differ() {
  const Plugin delegate = plugin("1");
  Model model = Case(odd_steps(), SmallGroups::kNative, 1).network.model;
  for (ModelNode& node : model.nodes) {
    model.outputs.push_back(node.outputs[0]);
    if (node.name != "BnnBconv2d") continue;
    FlexOptions options = bconv2d_options(64);
    options["groups"] = 2;
    node.options = flexbuffer(options);
  }
  Interpreter runtime(model, 1);
  check(runtime.apply(delegate.get()), runtime.messages().c_str());
  check(invoke(model, &runtime), runtime.messages().c_str());
  for (const ModelNode& node : model.nodes) {
    if (node.builtin == kBuiltinCustom) check(is_right(node, runtime), "a binary node");
  }
}

// --- shapes that change ---

void test_resized_inputs() {
  const Plugin delegate = plugin("3");
  const Case first(network_steps(13), SmallGroups::kNative, 1);
  const Model& model = first.network.model;
  Interpreter runtime(model, 1);
  check(runtime.apply(delegate.get()), runtime.messages().c_str());
  check(is_equal(run(model, &runtime), first.expected), "as it is");
  const std::pair<int, int> kSizes[] = {{13, 3}, {20, 1}, {5, 2}, {13, 1}};
  for (const auto& [size, batch] : kSizes) {
    const Case other(network_steps(size), SmallGroups::kNative, batch);
    check(runtime.resize(model.inputs[0], {batch, size, size, 3}), "a new shape");
    check(!runtime.invoke(), "a runtime allocates first");
    check(is_equal(run(model, &runtime), other.expected), "after a new shape");
  }
}

void test_sizes_that_do_not_fit() {
  const Plugin delegate = plugin("1");
  const std::vector<int> kWrong[] = {
      {0, 9, 9, 3}, {1, 9, 9, 4}, {1, 9, 9}, {1, 0, 9, 3}, {1, 70000, 1, 3}};
  for (const std::vector<Step>& steps : {network_steps(9), odd_steps()}) {
    const Case first(steps, SmallGroups::kNative, 1);
    const Model& model = first.network.model;
    Interpreter runtime(model, 1);
    check(runtime.apply(delegate.get()), runtime.messages().c_str());
    size_t said = 0;
    for (const std::vector<int>& dims : kWrong) {
      check(runtime.resize(model.inputs[0], dims), "a shape that does not fit");
      check(!runtime.allocate(), "is refused");
      check(runtime.messages().size() > said, "with a message");
      said = runtime.messages().size();
    }
    check(runtime.resize(model.inputs[0], {1, 9, 9, 3}), "a shape that fits");
    check(invoke(model, &runtime), "after all that");
    check(is_equal(floats_of(runtime.tensor(model.outputs[0])), first.expected), "as first");
  }
}

// The shapes of a RESHAPE are constants: a padded model is of one batch.
void test_padded_models_are_not_resized() {
  const Plugin delegate = plugin("1");
  const Case padded(network_steps(13), SmallGroups::kPad, 1);
  Interpreter runtime(padded.network.model, 1);
  check(runtime.apply(delegate.get()), runtime.messages().c_str());
  check(runtime.resize(padded.network.model.inputs[0], {3, 13, 13, 3}), "a new shape");
  check(!runtime.allocate() && !runtime.messages().empty(), "is refused with a message");
}

// --- several kernels ---

// Two runtimes with other numbers of threads, whose kernels run by turns; the delegate takes the
// runtime's number.
void test_a_delegate_is_shared() {
  std::string message;
  const Plugin delegate = load_plugin({}, &message);
  const Case a(network_steps(13), SmallGroups::kNative, 1), b(odd_steps(), SmallGroups::kNative, 2);
  SplitMix64 random{kSeed};
  Model alone = operator_model(&random);
  while (alone.nodes[0].name != "LceBconv2d") alone = operator_model(&random);
  Interpreter first(a.network.model, 1), second(b.network.model, 3), third(alone, 1),
      fourth(alone, 3);
  check(third.apply(delegate.get()) && invoke(alone, &third), "one thread");
  check(first.apply(delegate.get()) && second.apply(delegate.get()) && fourth.apply(delegate.get()),
        "all");
  for (int turn = 0; turn < 2; ++turn) {
    check(is_equal(run(a.network.model, &first), a.expected), "one thread");
    check(is_equal(run(b.network.model, &second), b.expected), "three threads");
    check(invoke(alone, &fourth) && is_right(alone.nodes[0], fourth), "three threads");
    check(first.invoke() && third.invoke() && is_right(alone.nodes[0], third), "one thread again");
    check(is_equal(floats_of(first.tensor(a.network.model.outputs[0])), a.expected), "as before");
  }
}

// A node that the delegate does not know parts a model in two.
void test_a_node_is_left() {
  const Plugin delegate = plugin("1");
  const Case whole(network_steps(13), SmallGroups::kNative, 1);
  Model model = whole.network.model;
  const int cut = whole.network.steps[2];
  ModelTensor copy = model.tensors[size_t(cut)];
  model.tensors.push_back(copy);
  const int behind = int(model.tensors.size()) - 1;
  size_t at = 0;
  for (size_t i = 0; i < model.nodes.size(); ++i) {
    for (int& input : model.nodes[i].inputs) {
      if (input == cut) input = behind;
    }
    if (model.nodes[i].outputs[0] == cut) at = i + 1;
  }
  model.nodes.insert(model.nodes.begin() + long(at),
                     {kBuiltinCustom, "Unknown", {cut}, {behind}, {}});
  Interpreter runtime(model, 1);
  check(runtime.apply(delegate.get()), runtime.messages().c_str());
  check(runtime.left() == 1, "one node is left");
  check(invoke(model, &runtime), runtime.messages().c_str());
  check(floats_of(runtime.tensor(model.outputs[0])).size() == 10, "logits");
}

// --- what is refused ---

// Each must be left to the runtime, with a message that says why.
void test_malformed_options() {
  const Plugin delegate = plugin("1");
  const Case whole(odd_steps(), SmallGroups::kNative, 1);
  FlexOptions good = bconv2d_options(62);
  good["groups"] = 2;
  std::vector<std::vector<char>> wrong = {{}, {1, 2, 3}};
  for (const auto& option : good) {
    for (int64_t value : {int64_t(-1), int64_t(1) << 17, int64_t(1) << 40}) {
      FlexOptions changed = good;
      changed[option.first] = value;
      wrong.push_back(flexbuffer(changed, 8));
    }
    FlexOptions fewer = good;
    fewer.erase(option.first);
    wrong.push_back(flexbuffer(fewer));
    FlexOptions none = good;
    none[option.first] = 0;
    if (option.second == 1 && option.first != "pad_values") wrong.push_back(flexbuffer(none));
  }
  for (auto& [key, value] : FlexOptions{{"groups", 3}, {"channels_in", 30}}) {
    FlexOptions changed = good;
    changed[key] = value;
    wrong.push_back(flexbuffer(changed));
  }
  const std::vector<char> bytes = flexbuffer(good);
  for (size_t size = 1; size < bytes.size(); ++size)
    wrong.emplace_back(bytes.begin(), bytes.begin() + long(size));
  for (const std::vector<char>& options : wrong) {
    Model model = whole.network.model;
    for (ModelNode& node : model.nodes) {
      if (node.name == "BnnBconv2d") node.options = options;
    }
    Interpreter runtime(model, 1);
    check(runtime.apply(delegate.get()), "a model with an operator that is left");
    check(runtime.left() > 0, "wrong options are refused");
    check(runtime.messages().find("(BnnBconv2d) cannot be run") != std::string::npos,
          "with a message");
  }
}

// A node whose output has another type, or is some other node's, is the runtime's.
void test_malformed_outputs() {
  const Plugin delegate = plugin("1");
  const Case whole(odd_steps(), SmallGroups::kNative, 1);
  Model typed = whole.network.model, twice = typed, backwards = typed;
  typed.tensors[size_t(whole.network.steps[1])].type = kInt8;
  twice.nodes.push_back(twice.nodes.back());
  std::reverse(backwards.nodes.begin(), backwards.nodes.end());
  for (const Model& model : {typed, twice, backwards}) {
    Interpreter runtime(model, 1);
    check(runtime.apply(delegate.get()), runtime.messages().c_str());
    check(runtime.left() > 0, "a node is left");
    check(invoke(model, &runtime) || !runtime.messages().empty(), "runs, or says why not");
  }
}

}  // namespace
}  // namespace bnn::litert

int main() {
  using namespace bnn::litert;
  test_flexbuffers_are_read();
  test_flexbuffers_may_be_damaged();
  test_options_of_the_delegate();
  test_networks();
  test_inner_tensors();
  test_operators();
  test_bits_that_no_step_makes();
  test_channels_that_differ();
  test_resized_inputs();
  test_sizes_that_do_not_fit();
  test_padded_models_are_not_resized();
  test_a_delegate_is_shared();
  test_a_node_is_left();
  test_malformed_options();
  test_malformed_outputs();
  return bnn::finish();
}
