#include "doors/onnxruntime/test_nodes.h"

#include <cstdlib>
#include <cstring>

#include "engine/bnn_format.h"
#include "engine/invent.h"

namespace bnn::ort {
namespace {

std::vector<int64_t> record_of(const Step& step) {
  int32_t fields[kRecordInts];
  write_record(step, fields);
  return {fields, fields + kRecordFields};
}

// Bits of the weights, [O, C/g, k, k], eight to a byte.
std::vector<uint8_t> packed_weights(const Step& step, const void* canonical) {
  const ConvShape& s = step.shape;
  const int in = s.in_c_per_group(), taps = s.kernel * s.kernel;
  std::vector<uint8_t> bytes((size_t(s.out_c) * in * taps + 7) / 8);
  const uint64_t* words = static_cast<const uint64_t*>(canonical);
  size_t i = 0;
  for (int o = 0; o < s.out_c; ++o) {
    for (int c = 0; c < in; ++c) {
      for (int tap = 0; tap < taps; ++tap, ++i) {
        const uint64_t word = words[(size_t(o) * taps + tap) * words_of(in) + c / 64];
        bytes[i / 8] |= uint8_t((word >> (c % 64) & 1) << (i % 8));
      }
    }
  }
  return bytes;
}

// Float weights [O, k, k, C/g] -> [O, C/g, k, k].
std::vector<float> channels_first(const Step& step, const float* weights) {
  const ConvShape& s = step.shape;
  const int in = s.in_c_per_group(), taps = s.kernel * s.kernel;
  std::vector<float> result(size_t(s.out_c) * in * taps);
  for (int o = 0; o < s.out_c; ++o) {
    for (int c = 0; c < in; ++c) {
      for (int tap = 0; tap < taps; ++tap) {
        result[(size_t(o) * in + c) * taps + tap] = weights[(size_t(o) * taps + tap) * in + c];
      }
    }
  }
  return result;
}

OrtValue constant_value(const Step& step, int slot, const void* data) {
  OrtValue value;
  if (step.kind == StepKind::kBconv2d && slot == kWeights) {
    const std::vector<uint8_t> bytes = packed_weights(step, data);
    value.set(kUint8, {int64_t(bytes.size())}, bytes.data(), bytes.size());
    return value;
  }
  const size_t bytes = constant_bytes(step, slot);
  const bool integer = slot == kThreshold && step.integer_threshold();
  if (step.kind == StepKind::kConv2d && slot == kWeights) {
    const std::vector<float> weights = channels_first(step, static_cast<const float*>(data));
    value.set(kFloat, {int64_t(weights.size())}, weights.data(), bytes);
  } else {
    value.set(integer ? kInt32 : kFloat, {int64_t(bytes / sizeof(float))}, data, bytes);
  }
  return value;
}

bool refused(OrtStatus* status) {
  if (!status) return false;
  if (status->message.empty()) std::abort();
  delete status;
  return true;
}

}  // namespace

OrtValue image_value(int64_t batch, int64_t channels, int64_t height, int64_t width) {
  OrtValue value;
  std::vector<float> values(size_t(batch * channels * height * width));
  invent_values(1, values.size(), values.data());
  value.set(kFloat, {batch, channels, height, width}, values.data(), values.size() * sizeof(float));
  return value;
}

OrtKernelInfo network_node(const BnnFile& file, int64_t batch) {
  const ConvShape& first = file.step(0).shape;
  OrtKernelInfo node;
  node.attributes = {{"steps", {}}, {"version", {1}}};
  node.inputs.push_back(image_value(batch, first.in_c, first.in_h, first.in_w));
  for (int i = 0; i < file.steps(); ++i) {
    for (int64_t value : record_of(file.step(i))) node.attributes[0].values.push_back(value);
    const Constants constants = file.constants(i);
    for (int slot = 0; slot < kSlots; ++slot) {
      if (!constants.slot[slot]) continue;
      node.inputs.push_back(constant_value(file.step(i), slot, constants.slot[slot]));
    }
  }
  return node;
}

OrtKernelInfo convolution_node(const Step& step, const void* weights, int64_t batch) {
  const ConvShape& s = step.shape;
  const int64_t bottom = int64_t(s.out_h - 1) * s.stride + s.kernel - s.in_h - s.pad_top;
  const int64_t right = int64_t(s.out_w - 1) * s.stride + s.kernel - s.in_w - s.pad_left;
  const auto after = [](int64_t pad) { return pad > 0 ? pad : 0; };
  OrtKernelInfo node;
  node.attributes = {{"weight_shape", {s.out_c, s.in_c_per_group(), s.kernel, s.kernel}},
                     {"kernel_shape", {s.kernel, s.kernel}},
                     {"strides", {s.stride, s.stride}},
                     {"pads", {s.pad_top, s.pad_left, after(bottom), after(right)}},
                     {"group", {s.groups}}};
  node.inputs.push_back(image_value(batch, s.in_c, s.in_h, s.in_w));
  node.inputs.emplace_back();
  node.inputs.back().set(kFloat, {s.in_c}, nullptr, s.in_c * sizeof(float));
  node.inputs.push_back(constant_value(step, kWeights, weights));
  return node;
}

bool run_node(const OrtCustomOp& op, OrtKernelInfo* node, int threads, OrtValue* output) {
  void* kernel = nullptr;
  if (refused(op.create_kernel_v2(&op, nullptr, node, &kernel))) return false;
  OrtKernelContext context{&node->inputs, {}, threads};
  bool good = true;
  for (int times = 0; times < 2 && good; ++times) {
    good = !node->inputs.empty() && !refused(op.kernel_compute_v2(kernel, &context));
  }
  op.kernel_destroy(kernel);
  *output = std::move(context.output);
  return good;
}

std::vector<float> engine_result(Network* network, const OrtValue& images) {
  const ConvShape& first = network->step(0).step.shape;
  const float* planes = reinterpret_cast<const float*>(images.bytes.get());
  const size_t pixels = size_t(first.in_h) * first.in_w, values = network->image_values();
  const size_t batch = images.elements() / values;
  std::vector<float> image(values), results(batch * network->result_values());
  for (size_t n = 0; n < batch; ++n, planes += values) {
    for (size_t i = 0; i < values; ++i) {
      image[i] = planes[i % first.in_c * pixels + i / first.in_c];
    }
    network->run(image.data(), results.data() + n * network->result_values());
  }
  return results;
}

}  // namespace bnn::ort
