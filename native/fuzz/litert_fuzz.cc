// Any bytes as a model of Larq Compute Engine's dialect, as TensorFlow Lite hands it to the
// delegate: a .bnn file's network, or one operator with options drawn, some of them damaged. A part
// is refused with a message, or computes: an undamaged network what the engine computes, an
// undamaged operator what plain loops make of its input. The bytes are also read as a FlexBuffer,
// and stand as one in damaged nodes.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "doors/litert/flexbuffer.h"
#include "doors/litert/graph.h"
#include "doors/litert/plain_nodes.h"
#include "doors/litert/test_models.h"
#include "doors/litert/test_operators.h"
#include "fuzz/fuzz.h"
#include "fuzz/litert_damage.h"

namespace bnn::litert {
namespace {

constexpr uint64_t kSeed = 1;

void expect(bool good) {
  if (!good) std::abort();
}

// Some that nodes compute, to be seen beside the last one.
void ask_for_inner_tensors(Model* model, SplitMix64* random) {
  while (random->below(2) && !model->nodes.empty()) {
    const ModelNode& node = model->nodes[random->below(model->nodes.size())];
    model->outputs.insert(model->outputs.begin(), node.outputs[0]);
  }
}

bool invoke(const Model& model, Interpreter* runtime) {
  if (!runtime->allocate()) return false;
  fill_inputs(model, kSeed, runtime);
  return runtime->invoke();
}

void resize(Interpreter* runtime, const Model& model, SplitMix64* random) {
  std::vector<int> dims = model.tensors[size_t(model.inputs[0])].dims;
  for (int& size : dims) {
    if (random->below(2)) continue;
    size = random->below(4) ? 1 + int(random->below(9)) : odd_size(random);
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

// Whether the delegate takes all of a network's nodes: it leaves what has no binary step, copies
// beyond its most inputs, and padding that an activation sees.
bool is_taken(const BnnFile& file, SmallGroups small_groups) {
  bool binary = false, left = false;
  for (int i = 0; i < file.steps(); ++i) {
    const Step& step = file.step(i);
    binary = binary || step.kind == StepKind::kBconv2d;
    left = left || (small_groups == SmallGroups::kPad && step.activation != Activation::kNone) ||
           (step.shortcut == Shortcut::kRepeat && step.shape.out_c / step.shape.in_c > kMaxInputs);
  }
  return binary && !left;
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
    expect(runtime.left() == 0 || !is_taken(file, small_groups));
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
