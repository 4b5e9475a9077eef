// Any bytes as the nodes of an .onnx file: a .bnn file's steps and constants, handed over as ONNX
// Runtime does, some of them damaged. A node is refused with a message, or computes: an undamaged
// network what the engine computes, a binary convolution odd and even integers where they belong.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "doors/onnxruntime/test_nodes.h"
#include "engine/bnn_image.h"
#include "engine/invent.h"
#include "engine/test_network.h"
#include "fuzz/fuzz.h"

namespace bnn::ort {
namespace {

void expect(bool good) {
  if (!good) std::abort();
}

// One thing that a file might get wrong; false: the node is as it should be.
bool damage(OrtKernelInfo* node, SplitMix64* random) {
  std::vector<int64_t>& values = node->attributes[random->below(node->attributes.size())].values;
  OrtValue& input = node->inputs[random->below(node->inputs.size())];
  switch (random->below(14)) {
    case 0:
      if (!values.empty()) values[random->below(values.size())] = int64_t(random->next());
      return true;
    case 1:
      if (!values.empty()) values[random->below(values.size())] += int64_t(random->below(5)) - 2;
      return true;
    case 2:
      values.resize(random->below(values.size() + 2));
      return true;
    case 3:
      node->inputs.pop_back();
      return true;
    case 4:
      node->inputs.emplace_back();
      node->inputs.back().set(kFloat, {1}, nullptr, sizeof(float));
      return true;
    case 5:
      input.constant = false;
      return true;
    case 6: {
      const int64_t count = int64_t(random->below(70));
      input.set(int(random->below(8)), {count}, nullptr, size_t(count) * sizeof(int64_t));
      return true;
    }
    default:
      return false;
  }
}

// The network with a pool and a classifier at its end, if it has none. False: it has steps that no
// node can describe.
bool complete(const BnnFile& file, BnnImage* image) {
  std::vector<Step> steps;
  std::vector<Constants> constants;
  for (int i = 0; i < file.steps(); ++i) {
    if (file.step(i).activation != Activation::kNone) return false;
    steps.push_back(file.step(i));
    constants.push_back(file.constants(i));
  }
  const ConvShape last = steps.back().shape;
  InventedConstants invented;
  if (steps.back().kind != StepKind::kLinear) {
    steps.push_back({StepKind::kGlobalAvgpool,
                     {last.out_h, last.out_w, last.out_c, 1, 1, last.out_c, 1, 1, 1, 0, 0},
                     Shortcut::kNone,
                     false,
                     true,
                     false,
                     0});
    constants.push_back(Constants{});
    steps.push_back(plain(StepKind::kLinear, 1, last.out_c, 3));
    if (!invented.make(steps.back(), 7)) return false;
    constants.push_back(invented.constants);
  }
  Status status;
  if (!image->make(steps.data(), int(steps.size()), &status)) return false;
  for (size_t i = 0; i < steps.size(); ++i) {
    for (int slot = 0; slot < kSlots; ++slot) {
      const size_t bytes = constant_bytes(steps[i], slot);
      if (bytes) std::memcpy(image->constant(int(i), slot), constants[i].slot[slot], bytes);
    }
  }
  image->seal();
  return true;
}

void try_network(const BnnFile& file, const void* data, size_t size, SplitMix64* random) {
  OrtKernelInfo node = network_node(file, 1);
  const bool damaged = damage(&node, random);
  const int threads = random->below(32) ? 1 : 2;
  OrtValue output;
  const bool good = run_node(kNetworkOp, &node, threads, &output);
  if (damaged) return;
  Status status;
  const auto network = Network::load(data, size, LoadOptions{}, &status);
  expect(good == (network != nullptr));
  if (!network) return;
  const std::vector<float> result = engine_result(network.get(), node.inputs[0]);
  expect(std::memcmp(output.bytes.get(), result.data(), result.size() * sizeof(float)) == 0);
}

void try_convolution(const Step& step, const void* weights, SplitMix64* random) {
  const ConvShape& s = step.shape;
  OrtKernelInfo node = convolution_node(step, weights, random->below(3));
  const bool damaged = damage(&node, random);
  OrtValue output;
  const bool good = run_node(kBinaryConv2dOp, &node, 1, &output);
  if (damaged) return;
  expect(good);
  const float* dots = reinterpret_cast<const float*>(output.bytes.get());
  for (size_t i = 0; i < output.elements(); ++i) {
    const float most = float(s.k_bits());
    expect(std::fabs(dots[i]) <= most && std::fmod(most - dots[i], 2.0f) == 0.0f);
  }
}

}  // namespace
}  // namespace bnn::ort

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bnn;
  const Memory repaired = exact_copy(data, size);
  Status status;
  BnnFile file;
  if (ort::open_api(ort::pretend_api()) || !repair_header(repaired.get(), size)) return 0;
  const uint32_t number = number_of(repaired.get());
  if (!file.parse(repaired.get(), size, &status) || !is_quick(file, number)) return 0;
  if (!file.has_constants()) return 0;
  SplitMix64 random{number};
  BnnImage image;
  BnnFile network;
  if (ort::complete(file, &image) && network.parse(image.data(), image.size(), &status)) {
    ort::try_network(network, image.data(), image.size(), &random);
  }
  for (int i = 0; i < file.steps(); ++i) {
    if (file.step(i).kind == StepKind::kBconv2d) {
      ort::try_convolution(file.step(i), file.constants(i).slot[kWeights], &random);
    }
  }
  return 0;
}
