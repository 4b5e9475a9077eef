// bnn_deploy::Network, a whole network as one node: what its function body computes in standard
// operators, on the engine.
//
//   inputs   images float32 [N, C, H, W], then the constants of every step, in the order of their
//            slots (docs/bnn-format.md); all initializers
//   output   logits float32 [N, classes]
//   version  attribute, 1: another one has other inputs or attributes
//   steps    attribute, integers: kRecordFields for each step, the first ones of its .bnn record
//
// Weights of a convolution are [O, C/g, k, k] as ONNX has them; those of a binary one are a bit
// each, uint8 [ceil(bits / 8)], least significant first, bit = (w < 0).
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "doors/lock.h"
#include "doors/onnxruntime/layout.h"
#include "doors/onnxruntime/op.h"
#include "doors/onnxruntime/runtime_crew.h"
#include "engine/bnn_format.h"
#include "engine/bnn_image.h"
#include "engine/network.h"

namespace bnn::ort {
namespace {

constexpr int64_t kNodeVersion = 1;  // of the attributes and inputs
constexpr int kCounts = 3;           // of the runtime's threads, in the first runs: one may be late

bool is_binary_weights(const Step& step, int slot) {
  return step.kind == StepKind::kBconv2d && slot == kWeights;
}

size_t weight_count(const Step& step) {
  const ConvShape& s = step.shape;
  return size_t(s.out_c) * s.in_c_per_group() * s.kernel * s.kernel;
}

// Whether a tensor is what slot `slot` of the step holds.
bool is_constant_of(const Step& step, int slot, const Tensor& tensor) {
  if (is_binary_weights(step, slot)) {
    return tensor.type == kUint8 && tensor.elements == (weight_count(step) + 7) / 8;
  }
  const bool integer = slot == kThreshold && step.integer_threshold();
  return tensor.type == (integer ? kInt32 : kFloat) &&
         tensor.elements == constant_bytes(step, slot) / sizeof(float);
}

void copy_constant(const Step& step, int slot, const Tensor& tensor, void* to) {
  const ConvShape& s = step.shape;
  if (is_binary_weights(step, slot)) {
    unpack_weights(static_cast<const uint8_t*>(tensor.data), s.out_c, s.in_c_per_group(), s.kernel,
                   static_cast<uint64_t*>(to));
  } else if (step.kind == StepKind::kConv2d && slot == kWeights) {
    weights_last(static_cast<const float*>(tensor.data), s.out_c, s.in_c_per_group(), s.kernel,
                 static_cast<float*>(to));
  } else {
    std::memcpy(to, tensor.data, constant_bytes(step, slot));
  }
}

// The constants of all steps, checked and, when there is an image, copied into it.
OrtStatus* read_constants(const OrtKernelInfo* info, const Step* steps, int count,
                          BnnImage* image) {
  size_t index = 1;  // the images are input 0
  for (int i = 0; i < count; ++i) {
    for (int slot = 0; slot < kSlots; ++slot) {
      if (constant_bytes(steps[i], slot) == 0) continue;
      Tensor tensor{};
      BNN_ORT_TRY(constant_input(info, index, &tensor));
      if (!is_constant_of(steps[i], slot, tensor)) {
        return fail("Network: step %d: input %zu is not its %s: %zu elements of type %d", i, index,
                    slot_name(slot), tensor.elements, tensor.type);
      }
      if (image) copy_constant(steps[i], slot, tensor, image->constant(i, slot));
      ++index;
    }
  }
  size_t inputs = 0;
  BNN_ORT_TRY(input_count(info, &inputs));
  if (inputs == index) return nullptr;
  return fail("Network: its steps have %zu inputs, the node has %zu", index, inputs);
}

class NetworkNode {
 public:
  static constexpr const char* kName = "Network";
  static constexpr size_t kInputs = 2;
  static constexpr OrtElementType kInputTypes[] = {kFloat, kAnyType};

  OrtStatus* make(const OrtKernelInfo* info);
  OrtStatus* compute(OrtKernelContext* context);

 private:
  OrtStatus* read_steps(const OrtKernelInfo* info, std::unique_ptr<Step[]>* steps, int* count);
  OrtStatus* load(int threads);
  OrtStatus* find_threads(const OrtKernelContext* context);
  OrtStatus* run(OrtKernelContext* context, const Tensor& images, float* logits);

  Lock one_at_a_time_;
  BnnImage image_;  // until the first runs have shown how many threads there are
  int counts_ = 0;
  std::unique_ptr<Network> network_;
  Memory pixels_;  // one image, channels last
};

OrtStatus* NetworkNode::read_steps(const OrtKernelInfo* info, std::unique_ptr<Step[]>* steps,
                                   int* count) {
  int64_t version = 0;
  BNN_ORT_TRY(get_int(info, "version", &version));
  if (version != kNodeVersion) {
    return fail("Network: expected version %lld, got %lld: a newer library may know it",
                static_cast<long long>(kNodeVersion), static_cast<long long>(version));
  }
  size_t size = 0;
  BNN_ORT_TRY(get_ints(info, "steps", nullptr, &size));
  if (size == 0 || size % kRecordFields || size / kRecordFields > kMaxSteps) {
    return fail("Network: steps must hold %zu integers for each of 1 to %u steps, not %zu",
                kRecordFields, kMaxSteps, size);
  }
  *count = int(size / kRecordFields);
  std::unique_ptr<int64_t[]> values(new (std::nothrow) int64_t[size]);
  steps->reset(new (std::nothrow) Step[*count]());
  if (!values || !*steps) return no_memory("steps");
  BNN_ORT_TRY(get_ints(info, "steps", values.get(), &size));
  for (int i = 0; i < *count; ++i) {
    int32_t fields[kRecordInts] = {};
    for (size_t f = 0; f < kRecordFields; ++f) {
      const int64_t value = values[i * kRecordFields + f];
      fields[f] = int32_t(value);
      if (fields[f] != value)
        return fail("Network: step %d: %lld is no 32-bit integer", i,
                    static_cast<long long>(value));
    }
    Status status;
    if (!read_record(i, fields, &(*steps)[i], &status)) return as_ort(status);
  }
  if ((*steps)[*count - 1].kind != StepKind::kLinear) {
    return fail("Network: the last step must be linear");
  }
  return nullptr;
}

OrtStatus* NetworkNode::make(const OrtKernelInfo* info) {
  std::unique_ptr<Step[]> steps;
  int count = 0;
  BNN_ORT_TRY(read_steps(info, &steps, &count));
  // Before there is memory for them: a size that no input has must not be asked for.
  BNN_ORT_TRY(read_constants(info, steps.get(), count, nullptr));
  Status status;
  if (!image_.make(steps.get(), count, &status)) return as_ort(status);
  BNN_ORT_TRY(read_constants(info, steps.get(), count, &image_));
  image_.seal();
  BNN_ORT_TRY(load(1));
  pixels_ = allocate(network_->image_values() * sizeof(float));
  return pixels_ ? nullptr : no_memory("an image");
}

OrtStatus* NetworkNode::load(int threads) {
  LoadOptions options;
  options.threads = threads;
  options.own_threads = false;
  Status status;
  std::unique_ptr<Network> network = Network::load(image_.data(), image_.size(), options, &status);
  if (network) network_ = std::move(network);
  return as_ort(status);
}

OrtStatus* NetworkNode::find_threads(const OrtKernelContext* context) {
  if (counts_ == kCounts) return nullptr;
  const int threads = count_threads(context);
  if (threads > network_->threads()) BNN_ORT_TRY(load(threads));
  if (++counts_ == kCounts) image_ = BnnImage();
  return nullptr;
}

OrtStatus* NetworkNode::compute(OrtKernelContext* context) {
  const Locked locked(&one_at_a_time_);
  BNN_ORT_TRY(find_threads(context));
  Tensor images{};
  BNN_ORT_TRY(input(context, 0, &images));
  const ConvShape& s = network_->step(0).step.shape;
  if (images.rank != 4 || images.dims[1] != s.in_c || images.dims[2] != s.in_h ||
      images.dims[3] != s.in_w) {
    return fail("Network: images must be [N, %d, %d, %d]", s.in_c, s.in_h, s.in_w);
  }
  const int64_t shape[] = {images.dims[0], int64_t(network_->result_values())};
  float* logits = nullptr;
  BNN_ORT_TRY(output(context, 0, shape, 2, &logits));
  return run(context, images, logits);
}

OrtStatus* NetworkNode::run(OrtKernelContext* context, const Tensor& images, float* logits) {
  const ConvShape& s = network_->step(0).step.shape;
  float* pixels = reinterpret_cast<float*>(pixels_.get());
  RuntimeCrew crew(context, network_->threads());
  for (int64_t n = 0; n < images.dims[0] && !crew.status(); ++n) {
    const float* image = static_cast<const float*>(images.data) + n * network_->image_values();
    if (s.in_c > 1) channels_last(image, s.in_c, size_t(s.in_h) * s.in_w, pixels);
    network_->run(s.in_c > 1 ? pixels : image, logits + n * network_->result_values(), &crew);
  }
  return crew.status();
}

}  // namespace

const OrtCustomOp kNetworkOp = describe_op<NetworkNode>();

}  // namespace bnn::ort
