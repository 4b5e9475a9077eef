// Any bytes as a model of Larq Compute Engine's dialect, as TensorFlow Lite hands it to the
// delegate: a .bnn file's network, or one operator with options drawn, some of them damaged. A part
// is refused with a message, or computes: an undamaged network what the engine computes, an
// undamaged operator what plain loops make of its input. The bytes are also read as a FlexBuffer,
// and stand as one in damaged nodes.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "doors/litert/flexbuffer.h"
#include "doors/litert/plain_nodes.h"
#include "doors/litert/test_models.h"
#include "doors/litert/test_operators.h"
#include "fuzz/fuzz.h"

namespace bnn::litert {
namespace {

constexpr uint64_t kSeed = 1;
constexpr size_t kMostBytes = 64 << 10;  // of a damaged model's tensor: what no time allows for
constexpr int kSizes[] = {0,  1,  2,   3,     4,     5,       7,       8,         16, 31,       32,
                          33, 64, 255, 65535, 65536, 1 << 20, 1 << 30, INT32_MAX, -1, INT32_MIN};

void expect(bool good) {
  if (!good) std::abort();
}

template <class T, size_t count>
T pick(const T (&values)[count], SplitMix64* random) {
  return values[random->below(count)];
}

template <class T>
T& pick(std::vector<T>* values, SplitMix64* random) {
  return (*values)[random->below(values->size())];
}

int any_tensor(const Model& model, SplitMix64* random) {
  return int(random->below(model.tensors.size() + 1)) - 1;
}

void damage_tensor(ModelTensor* tensor, SplitMix64* random) {
  const TfLiteType kTypes[] = {kFloat32, kInt32, kBool, kInt8, TfLiteType(4), TfLiteType(0)};
  switch (random->below(8)) {
    case 0:
      tensor->dims.resize(random->below(8), 1);
      break;
    case 1:
      tensor->type = pick(kTypes, random);
      break;
    case 2:
      tensor->constant = !tensor->constant;
      break;
    case 3:
      tensor->bytes.resize(random->below(tensor->bytes.size() + 4));
      break;
    case 4:
      tensor->misaligned = 1;
      break;
    case 5:
      tensor->scale = random->below(2) ? 0.0f : -1.0f / 0.0f;
      tensor->zero_point = int32_t(random->next());
      break;
    default:
      if (!tensor->dims.empty()) pick(&tensor->dims, random) = pick(kSizes, random);
  }
}

// raw: any bytes.
void damage_options(ModelNode* node, const std::vector<char>& raw, SplitMix64* random) {
  std::vector<char>& bytes = node->options;
  if (node->builtin != kBuiltinCustom) {  // the runtime's structs: numbers, the last one a bool
    const bool flag = node->builtin == kBuiltinMean || node->builtin == kBuiltinFullyConnected;
    const int value = flag ? int(random->below(2)) : pick(kSizes, random);
    if (bytes.size() < sizeof value) return;
    std::memcpy(bytes.data() + random->below(bytes.size() / sizeof value) * sizeof value, &value,
                sizeof value);
    return;
  }
  const char* const kKeys[] = {"channels_in",
                               "dilation_height_factor",
                               "dilation_width_factor",
                               "filter_height",
                               "filter_width",
                               "fused_activation_function",
                               "groups",
                               "pad_values",
                               "padding",
                               "stride_height",
                               "stride_width"};
  FlexMap map;
  FlexOptions options;
  switch (random->below(4)) {
    case 0:
      bytes.resize(random->below(bytes.size() + 2));
      break;
    case 1:
      if (!bytes.empty()) pick(&bytes, random) = char(random->next());
      break;
    case 2:
      bytes = raw;
      break;
    default:
      if (!map.parse(bytes.data(), bytes.size())) return;
      for (const char* key : kKeys) {
        int64_t value = 0;
        if (map.find(key, &value)) options[key] = value;
      }
      if (random->below(4)) {
        options[pick(kKeys, random)] = pick(kSizes, random);
      } else {
        options.erase(pick(kKeys, random));
      }
      bytes = flexbuffer(options, 2 << random->below(3));
  }
}

void damage_node(Model* model, SplitMix64* random) {
  const int kCodes[] = {kBuiltinAdd,    kBuiltinAveragePool2d,  kBuiltinConcatenation,
                        kBuiltinConv2d, kBuiltinFullyConnected, kBuiltinReshape,
                        kBuiltinCustom, kBuiltinMean,           kBuiltinSub,
                        kBuiltinPrelu,  kBuiltinPadV2,          5};
  const char* const kNames[] = {"LceQuantize", "LceDequantize", "LceBconv2d",
                                "BnnBconv2d",  "LceBMaxPool2d", "Unknown"};
  const size_t at = random->below(model->nodes.size());
  ModelNode& node = model->nodes[at];
  switch (random->below(9)) {
    case 0:
      if (!node.inputs.empty()) node.inputs.pop_back();
      break;
    case 1:
      node.inputs.resize(node.inputs.size() + random->below(18), any_tensor(*model, random));
      break;
    case 2:
      if (!node.inputs.empty()) std::swap(pick(&node.inputs, random), pick(&node.inputs, random));
      break;
    case 3:
      if (!node.inputs.empty()) pick(&node.inputs, random) = any_tensor(*model, random);
      break;
    case 4:
      node.outputs.assign(random->below(3), any_tensor(*model, random));
      break;
    case 5: {  // its options keep the size that the runtime gives them
      const int code = pick(kCodes, random);
      node.options.resize(code == kBuiltinCustom ? node.options.size() : sizeof(TfLitePoolParams));
      if (code == kBuiltinMean || code == kBuiltinFullyConnected) {
        std::fill(node.options.begin(), node.options.end(), 0);
      }
      node.builtin = code;
      break;
    }
    case 6:
      node.name = pick(kNames, random);
      break;
    case 7:
      std::swap(node, pick(&model->nodes, random));
      break;
    default:
      if (random->below(2)) {
        model->nodes.erase(model->nodes.begin() + long(at));
      } else {
        model->nodes.insert(model->nodes.begin() + long(at), ModelNode(node));
      }
  }
}

// Things that a file might get wrong; false: there is none.
bool damage(Model* model, const std::vector<char>& raw, SplitMix64* random) {
  const uint64_t count = random->below(6);
  if (count > 3) return false;
  for (uint64_t i = 0; i < count && !model->nodes.empty(); ++i) {
    switch (random->below(3)) {
      case 0:
        damage_tensor(&pick(&model->tensors, random), random);
        break;
      case 1:
        damage_options(&pick(&model->nodes, random), raw, random);
        break;
      default:
        damage_node(model, random);
    }
  }
  return count > 0;
}

// Some that nodes compute, to be seen beside the last one.
void ask_for_inner_tensors(Model* model, SplitMix64* random) {
  const int result = model->outputs[0];
  while (random->below(2) && !model->nodes.empty()) {
    const std::vector<int>& outputs = pick(&model->nodes, random).outputs;
    if (!outputs.empty()) model->outputs.insert(model->outputs.begin(), outputs[0]);
  }
  expect(model->outputs.back() == result);
}

bool invoke(const Model& model, Interpreter* runtime) {
  if (!runtime->allocate()) return false;
  fill_inputs(model, kSeed, runtime);
  return runtime->invoke();
}

void resize(Interpreter* runtime, const Model& model, SplitMix64* random) {
  std::vector<int> dims = model.tensors[size_t(model.inputs[0])].dims;
  for (int& size : dims) {
    if (random->below(2))
      size = random->below(4) ? 1 + int(random->below(9)) : pick(kSizes, random);
  }
  runtime->resize(model.inputs[0], dims);
}

// Whether the model runs; `check` looks at what it computed.
template <class Check>
bool try_model(const Model& model, bool damaged, SplitMix64* random, const Check& check) {
  const char* threads = random->below(32) ? "1" : "2";
  const char* kernel = damaged ? kernel_by_number(uint32_t(random->next())) : "";
  std::string message;
  const Plugin delegate = load_plugin({"threads", threads, "kernel", kernel}, &message);
  expect(delegate != nullptr);
  Interpreter runtime(model, 1, damaged ? kMostBytes : SIZE_MAX);
  if (!runtime.apply(delegate.get()) || !invoke(model, &runtime)) {
    expect(!runtime.messages().empty());
    return false;
  }
  if (!damaged) check(runtime);
  if (random->below(4) == 0) {
    Interpreter other(model, 1, kMostBytes);
    if (!other.apply(delegate.get())) return true;
    invoke(model, &other);
    for (int times = 0; times < 2; ++times) {
      resize(&other, model, random);
      expect(invoke(model, &other) || !other.messages().empty());
    }
    if (!damaged) {
      expect(runtime.invoke());
      check(runtime);
    }
  }
  return true;
}

bool is_same(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

void try_network(const BnnFile& file, const void* data, size_t size, const std::vector<char>& raw,
                 SplitMix64* random) {
  const int batch = 1 + int(random->below(16) == 0);
  const SmallGroups small_groups = random->below(2) ? SmallGroups::kPad : SmallGroups::kNative;
  NetworkModel network;
  if (!network_model(file, small_groups, batch, &network)) return;
  Model& model = network.model;
  ask_for_inner_tensors(&model, random);
  const bool damaged = damage(&model, raw, random);
  Status status;
  const auto engine = Network::load(data, size, LoadOptions{}, &status);
  const bool good = try_model(model, damaged, random, [&](const Interpreter& runtime) {
    if (runtime.left() > 0 || network.surplus) return;
    const std::vector<float> expected = engine_result(engine.get(), kSeed, batch);
    const TfLiteTensor& result = runtime.tensor(model.outputs.back());
    expect(result.bytes == expected.size() * sizeof(float));
    const float* found = static_cast<const float*>(result.data);
    expect(std::equal(expected.begin(), expected.end(), found, is_same));
  });
  expect(damaged || good == (engine != nullptr));
}

void try_operator(const std::vector<char>& raw, SplitMix64* random) {
  Model model = operator_model(random);
  const ModelNode node = model.nodes[0];
  const bool damaged = damage(&model, raw, random);
  const bool good = try_model(model, damaged, random, [&](const Interpreter& runtime) {
    expect(runtime.left() == 0 && is_right(node, runtime));
  });
  expect(damaged || good);
}

void try_flexbuffer(const uint8_t* data, size_t size) {
  const Memory bytes = exact_copy(data, size);
  FlexMap map;
  int64_t value = 0;
  if (map.parse(bytes.get(), size)) map.find("stride_width", &value);
}

}  // namespace
}  // namespace bnn::litert

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bnn;
  const Memory repaired = exact_copy(data, size);
  Status status;
  BnnFile file;
  litert::try_flexbuffer(data, size);
  if (!repair_header(repaired.get(), size)) return 0;
  const uint32_t number = number_of(repaired.get());
  SplitMix64 random{number};
  const size_t raw_bytes = std::min(size, size_t(random.below(256)));
  const std::vector<char> raw(data + size - raw_bytes, data + size);
  if (random.below(4) == 0) litert::try_operator(raw, &random);
  if (!file.parse(repaired.get(), size, &status) || !is_quick(file, number)) return 0;
  if (file.has_constants()) litert::try_network(file, repaired.get(), size, raw, &random);
  return 0;
}
