#include "fuzz/litert_damage.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "doors/litert/flexbuffer.h"

namespace bnn::litert {
namespace {

constexpr int kSizes[] = {0,  1,  2,   3,     4,     5,       7,       8,         16, 31,       32,
                          33, 64, 255, 65535, 65536, 1 << 20, 1 << 30, INT32_MAX, -1, INT32_MIN};

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
    case 2: {
      size_t bytes = 4;  // an element's, of most
      for (int size : tensor->dims) bytes *= size > 0 && size < 1 << 10 ? size_t(size) : 1;
      tensor->constant = !tensor->constant;
      tensor->misaligned = int(random->below(2));
      if (tensor->constant && bytes < kMostBytes) tensor->bytes.resize(bytes);
      break;
    }
    case 3:
      tensor->bytes.resize(random->below(tensor->bytes.size() + 4));
      break;
    case 4:
      tensor->misaligned = 1;
      break;
    case 5:
      tensor->scale = random->below(2) ? 0.0f : -HUGE_VALF;
      tensor->zero_point = int32_t(random->next());
      break;
    default:
      if (!tensor->dims.empty()) pick(&tensor->dims, random) = odd_size(random);
  }
}

// raw: any bytes.
void damage_options(ModelNode* node, const std::vector<char>& raw, SplitMix64* random) {
  std::vector<char>& bytes = node->options;
  if (node->builtin != kBuiltinCustom) {  // the runtime's structs: numbers, the last one a bool
    const bool flag = node->builtin == kBuiltinMean || node->builtin == kBuiltinFullyConnected;
    const int value = flag ? int(random->below(2)) : odd_size(random);
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
        options[pick(kKeys, random)] = odd_size(random);
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

}  // namespace

int odd_size(SplitMix64* random) { return pick(kSizes, random); }

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

}  // namespace bnn::litert
