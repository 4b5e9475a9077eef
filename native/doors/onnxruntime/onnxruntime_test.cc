// The operators under a pretended runtime: its threads, batches, sizes that change.
#include <atomic>
#include <cstring>

#include "doors/onnxruntime/runtime_crew.h"
#include "doors/onnxruntime/test_nodes.h"
#include "engine/test_network.h"

namespace bnn::ort {
namespace {

void test_threads_are_counted() {
  for (int threads : {1, 3}) {
    OrtKernelContext context{nullptr, {}, threads};
    int counted = 0;
    for (int i = 0; i < 50 && counted < threads; ++i) counted = count_threads(&context);
    check(counted == threads, "all threads of the runtime are counted");
  }
}

void test_a_crew_does_every_part_once() {
  OrtKernelContext context{nullptr, {}, 3};
  RuntimeCrew crew(&context, 5);
  std::atomic<int> done[5] = {};
  crew.run([](void* parts, int i) { ++static_cast<std::atomic<int>*>(parts)[i]; }, done);
  for (const std::atomic<int>& part : done) check(part == 1, "a part is done once");
  check(!crew.status(), "no error");
}

std::vector<Step> network_steps() {
  Step stem =
      convolution(StepKind::kConv2d, 13, 3, 64, 3, 2, 1, Shortcut::kNone, false, true, true, 1);
  Step block =
      convolution(StepKind::kBconv2d, 7, 64, 64, 3, 1, 8, Shortcut::kIdentity, true, true, true, 0);
  Step wide =
      convolution(StepKind::kBconv2d, 7, 64, 128, 1, 1, 1, Shortcut::kRepeat, true, true, false, 0);
  Step pool = plain(StepKind::kGlobalAvgpool, 7, 128, 128);
  return {stem, block, wide, pool, plain(StepKind::kLinear, 1, 128, 10)};
}

void test_networks() {
  const Bytes bytes = encode(network_steps(), 3);
  Status status;
  BnnFile file;
  check(file.parse(bytes.data(), bytes.size() * 8, &status), status.message);
  const auto network = load(bytes, nullptr, &status);
  for (int threads : {1, 3}) {
    for (int64_t batch : {0, 1, 2}) {
      OrtKernelInfo node = network_node(file, batch);
      OrtValue output;
      check(run_node(kNetworkOp, &node, threads, &output), "a network runs");
      const std::vector<float> expected = engine_result(network.get(), node.inputs[0]);
      check(output.elements() == size_t(batch) * 10, "logits [N, classes]");
      check(expected.empty() ||
                !std::memcmp(output.bytes.get(), expected.data(), expected.size() * sizeof(float)),
            "the engine's bits");
    }
  }
}

// The same node on images of one size, then of another, then of the first again.
void test_a_convolution_takes_sizes_in_turn() {
  Step small = network_steps()[1], large = small;
  large.shape.in_h = large.shape.out_h = 9;
  Status status;
  check(check_step(0, &small, &status) && check_step(0, &large, &status), status.message);
  InventedConstants invented;
  check(invented.make(small, 5), "constants");
  std::vector<float> first;
  void* kernel = nullptr;
  OrtKernelInfo node = convolution_node(small, invented.constants.slot[kWeights], 2);
  const OrtCustomOp& op = kBinaryConv2dOp;
  check(!op.create_kernel_v2(&op, nullptr, &node, &kernel), "a convolution is made");
  for (const Step& step : {small, large, small}) {
    OrtKernelInfo sized = convolution_node(step, invented.constants.slot[kWeights], 2);
    OrtKernelContext context{&sized.inputs, {}, 2};
    check(!op.kernel_compute_v2(kernel, &context), "a convolution runs");
    check(context.output.elements() == 2 * step.out_elements(), "dots [N, O, H, W]");
    const float* dots = reinterpret_cast<const float*>(context.output.bytes.get());
    const std::vector<float> values(dots, dots + context.output.elements());
    if (first.empty()) first = values;
    check(step.shape.in_h == 9 || values == first, "the same for the same image");
  }
  op.kernel_destroy(kernel);
}

}  // namespace
}  // namespace bnn::ort

int main() {
  using namespace bnn::ort;
  bnn::check(!open_api(pretend_api()), "a runtime is taken");
  test_threads_are_counted();
  test_a_crew_does_every_part_once();
  test_networks();
  test_a_convolution_takes_sizes_in_turn();
  return bnn::finish();
}
