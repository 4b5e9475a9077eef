#include "doors/litert/test_models.h"

#include <algorithm>
#include <cstring>

#include "doors/litert/graph.h"

namespace bnn::litert {
namespace {

constexpr int kTypeInt = 1, kTypeMap = 9;  // of FlexBuffers

class FlexWriter {
 public:
  explicit FlexWriter(int width) : width_(width) {}

  void put(uint64_t value) {
    for (int i = 0; i < width_; ++i) bytes.push_back(char(value >> (8 * i)));
  }
  void put_offset(size_t place) { put(bytes.size() - place); }
  void align() {
    bytes.resize((bytes.size() + size_t(width_) - 1) / size_t(width_) * size_t(width_));
  }
  char type(int kind) const { return char(kind << 2 | __builtin_ctz(unsigned(width_))); }

  std::vector<char> bytes;

 private:
  const int width_;
};

bool any(const float* values, int count) {
  return std::any_of(values, values + count, [](float value) { return value != 0.0f; });
}

// The rules of bnn_deploy/export/tflite.py.
class NetworkWriter {
 public:
  NetworkWriter(const BnnFile& file, SmallGroups small_groups, int batch, NetworkModel* made)
      : file_(file), small_groups_(small_groups), batch_(batch), made_(made) {}

  bool write();

 private:
  bool write_step(int index);
  bool write_binary(int index);
  void write_conv2d(const Step& step, const Constants& constants);
  void write_plain(const Step& step, const Constants& constants);
  int quantize(int before, const Step& step, int padded);
  int pad_groups(const Step& step, int values, int padded);
  int filter(const Step& step, const Constants& constants, int padded);
  int bconv2d(const Step& step, const Constants& constants, int bits, int padded, bool own);
  int shortcut(const Step& step, int output);
  int rprelu(const Step& step, const Constants& constants, int output);
  int per_channel(int code, int tensor, const float* vector);
  int reshape(int tensor, std::vector<int> dims);
  int floats(std::vector<int> dims, const float* data) {
    return writer_.constant(kFloat32, std::move(dims), data);
  }
  std::vector<int> out_dims(const Step& step) const {
    return {batch_, step.shape.out_h, step.shape.out_w, step.shape.out_c};
  }

  const BnnFile& file_;
  const SmallGroups small_groups_;
  const int batch_;
  NetworkModel* made_;
  ModelWriter writer_;
  int values_ = kOptionalTensor;  // what the step before gave
  int bits_ = kOptionalTensor;    // if it gave bits alone
};

bool NetworkWriter::write() {
  const ConvShape& first = file_.step(0).shape;
  values_ = writer_.tensor(kFloat32, {batch_, first.in_h, first.in_w, first.in_c});
  writer_.model.inputs = {values_};
  made_->surplus = false;
  for (int i = 0; i < file_.steps(); ++i) {
    if (!write_step(i)) return false;
    made_->steps.push_back(bits_ == kOptionalTensor ? values_ : kOptionalTensor);
  }
  writer_.model.outputs = {values_};
  made_->model = std::move(writer_.model);
  return bits_ == kOptionalTensor;
}

bool NetworkWriter::write_step(int index) {
  const Step& step = file_.step(index);
  const Constants constants = file_.constants(index);
  const bool flat = writer_.dims(values_).size() == 2;
  switch (step.kind) {
    case StepKind::kPack:  // the next one compares
      return !flat;
    case StepKind::kConv2d:
      if (!flat) write_conv2d(step, constants);
      return !flat;
    case StepKind::kBconv2d:
      return !flat && index > 0 && write_binary(index);
    case StepKind::kGlobalAvgpool:
    case StepKind::kLinear:
      if (flat != (step.kind == StepKind::kLinear)) return false;
      write_plain(step, constants);
      return true;
  }
  return false;
}

void NetworkWriter::write_plain(const Step& step, const Constants& constants) {
  const ConvShape& s = step.shape;
  if (step.kind == StepKind::kGlobalAvgpool) {
    const int axes[] = {1, 2};
    values_ = writer_.builtin(kBuiltinMean, {values_, writer_.constant(kInt32, {2}, axes)},
                              {batch_, s.out_c}, TfLiteReducerParams{false});
  } else {
    values_ = writer_.builtin(kBuiltinFullyConnected,
                              {values_, floats({s.out_c, s.in_c}, constants.floats(kWeights)),
                               floats({s.out_c}, constants.floats(kBias))},
                              {batch_, s.out_c}, TfLiteFullyConnectedParams{});
  }
}

void NetworkWriter::write_conv2d(const Step& step, const Constants& constants) {
  const ConvShape& s = step.shape;
  const TfLiteConvParams params = {kSame, s.stride, s.stride, kNoActivation, 1, 1};
  const int weights =
      floats({s.out_c, s.kernel, s.kernel, s.in_c_per_group()}, constants.floats(kWeights));
  const int output = writer_.builtin(kBuiltinConv2d,
                                     {values_, weights, floats({s.out_c}, constants.floats(kBias))},
                                     out_dims(step), params);
  values_ = rprelu(step, constants, output);
}

bool NetworkWriter::write_binary(int index) {
  const Step& step = file_.step(index);
  const Constants constants = file_.constants(index);
  const ConvShape& s = step.shape;
  const int channels = s.in_c_per_group();
  const bool small = s.groups > 1 && channels % 32;
  const bool own = small && (small_groups_ == SmallGroups::kNative || step.zero_padding ||
                             bits_ != kOptionalTensor);
  const int padded = small && !own ? words32_of(channels) * 32 : channels;
  if (step.zero_padding && channels % 2) return false;
  const int bits = bits_ != kOptionalTensor ? bits_ : quantize(index - 1, step, padded);
  const int output = bconv2d(step, constants, bits, padded, own);
  bits_ = step.integer_threshold() ? output : kOptionalTensor;
  if (bits_ == kOptionalTensor) values_ = rprelu(step, constants, shortcut(step, output));
  return true;
}

// What step `before` would pack, from its floats.
int NetworkWriter::quantize(int before, const Step& step, int padded) {
  const ConvShape& s = step.shape;
  const float* threshold = file_.constants(before).floats(kThreshold);
  int values = values_;
  if (any(threshold, s.in_c)) values = per_channel(kBuiltinSub, values, threshold);
  if (padded != s.in_c_per_group()) values = pad_groups(step, values, padded);
  return writer_.custom("LceQuantize", {values}, kInt32,
                        {batch_, s.in_h, s.in_w, words32_of(padded * s.groups)}, {});
}

int NetworkWriter::pad_groups(const Step& step, int values, int padded) {
  const ConvShape& s = step.shape;
  const int pixels = s.in_h * s.in_w, channels = s.in_c_per_group();
  const int parted = reshape(values, {batch_, pixels, s.groups, channels});
  const int pads[] = {0, 0, 0, 0, 0, 0, 0, padded - channels};
  const float one = 1.0f;
  const int wide = writer_.builtin(
      kBuiltinPadV2, {parted, writer_.constant(kInt32, {4, 2}, pads), floats({}, &one)},
      {batch_, pixels, s.groups, padded});
  return reshape(wide, {batch_, s.in_h, s.in_w, s.groups * padded});
}

// int32 words [O, k, k, words32_of(padded)]; the channels that padding adds alternate +1, -1.
int NetworkWriter::filter(const Step& step, const Constants& constants, int padded) {
  const ConvShape& s = step.shape;
  const int taps = s.kernel * s.kernel, channels = s.in_c_per_group(), words = words32_of(padded);
  const auto* from = static_cast<const uint64_t*>(constants.slot[kWeights]);
  std::vector<uint32_t> filter;
  for (int o = 0; o < s.out_c; ++o) {
    for (int tap = 0; tap < taps; ++tap, from += words_of(channels)) {
      for (int i = 0; i < words; ++i) {
        filter.push_back(i < 2 * words_of(channels) ? uint32_t(from[i / 2] >> (i % 2 * 32)) : 0);
      }
      for (int c = channels, added = tap * (padded - channels); c < padded; ++c, ++added) {
        filter[filter.size() - size_t(words) + size_t(c / 32)] |= uint32_t(added % 2) << (c % 32);
      }
    }
  }
  return writer_.constant(kInt32, {s.out_c, s.kernel, s.kernel, words}, filter.data());
}

int NetworkWriter::bconv2d(const Step& step, const Constants& constants, int bits, int padded,
                           bool own) {
  const ConvShape& s = step.shape;
  FlexOptions options = {{"channels_in", padded * s.groups},
                         {"dilation_height_factor", 1},
                         {"dilation_width_factor", 1},
                         {"fused_activation_function", int(step.activation)},
                         {"pad_values", step.zero_padding ? 0 : 1},
                         {"padding", 0},
                         {"stride_height", s.stride},
                         {"stride_width", s.stride}};
  if (own) options["groups"] = s.groups;
  const char* name = own ? "BnnBconv2d" : "LceBconv2d";
  const int weights = filter(step, constants, padded);
  const int added = s.kernel * s.kernel * (padded - s.in_c_per_group());
  if (step.integer_threshold()) {
    const auto* from = static_cast<const int32_t*>(constants.slot[kThreshold]);
    std::vector<int32_t> moved(from, from + s.out_c);  // half of what padding adds differs
    for (int32_t& threshold : moved)
      threshold = int32_t(std::min<int64_t>(int64_t(threshold) + added / 2, INT32_MAX));
    const int thresholds = writer_.constant(kInt32, {s.out_c}, moved.data());
    return writer_.custom(name, {bits, weights, kOptionalTensor, kOptionalTensor, thresholds},
                          kInt32, {batch_, s.out_h, s.out_w, words32_of(s.out_c)}, options);
  }
  const float *scale = constants.floats(kScale), *bias = constants.floats(kBias);
  std::vector<float> corrected(bias, bias + s.out_c);
  if (added % 2) {
    made_->surplus = true;
    for (int o = 0; o < s.out_c; ++o) corrected[size_t(o)] -= scale[o];
  }
  return writer_.custom(name,
                        {bits, weights, floats({s.out_c}, scale),
                         floats({s.out_c}, corrected.data()), kOptionalTensor},
                        kFloat32, out_dims(step), options);
}

int NetworkWriter::shortcut(const Step& step, int output) {
  int added = values_;
  if (step.shortcut == Shortcut::kNone) return output;
  if (step.shortcut == Shortcut::kAvgPool) {
    added = writer_.builtin(kBuiltinAveragePool2d, {values_}, out_dims(step),
                            TfLitePoolParams{kSame, 2, 2, 2, 2, kNoActivation});
  } else if (step.shortcut == Shortcut::kRepeat) {
    const std::vector<int> copies(size_t(step.shape.out_c / step.shape.in_c), values_);
    added = writer_.builtin(kBuiltinConcatenation, copies, out_dims(step),
                            TfLiteConcatenationParams{3, kNoActivation});
  }
  return writer_.builtin(kBuiltinAdd, {output, added}, out_dims(step), TfLiteElementwiseParams{});
}

int NetworkWriter::rprelu(const Step& step, const Constants& constants, int output) {
  const int channels = step.shape.out_c;
  if (!step.rprelu) return output;
  const float *gamma = constants.floats(kGamma), *zeta = constants.floats(kZeta);
  if (any(gamma, channels)) output = per_channel(kBuiltinSub, output, gamma);
  output = writer_.builtin(
      kBuiltinPrelu, {output, floats({1, 1, channels}, constants.floats(kBeta))}, out_dims(step));
  return any(zeta, channels) ? per_channel(kBuiltinAdd, output, zeta) : output;
}

int NetworkWriter::per_channel(int code, int tensor, const float* vector) {
  const std::vector<int> dims = writer_.dims(tensor);
  return writer_.builtin(code, {tensor, floats({1, 1, 1, dims[3]}, vector)}, dims,
                         TfLiteElementwiseParams{});
}

int NetworkWriter::reshape(int tensor, std::vector<int> dims) {
  const int shape = writer_.constant(kInt32, {int(dims.size())}, dims.data());
  return writer_.builtin(kBuiltinReshape, {tensor, shape}, std::move(dims));
}

}  // namespace

// Keys; [count] offsets of the keys; [offset of those, their width, count] values, a type each; the
// root: offset of the values, type, width.
std::vector<char> flexbuffer(const FlexOptions& options, int width) {
  FlexWriter writer(width);
  std::vector<size_t> places;
  for (const auto& option : options) {
    places.push_back(writer.bytes.size());
    writer.bytes.insert(writer.bytes.end(), option.first.c_str(),
                        option.first.c_str() + option.first.size() + 1);
  }
  writer.align();
  writer.put(options.size());
  const size_t keys = writer.bytes.size();
  for (size_t place : places) writer.put_offset(place);
  writer.put_offset(keys);
  writer.put(uint64_t(width));
  writer.put(options.size());
  const size_t values = writer.bytes.size();
  for (const auto& option : options) writer.put(uint64_t(option.second));
  writer.bytes.insert(writer.bytes.end(), options.size(), writer.type(kTypeInt));
  writer.align();
  writer.put_offset(values);
  writer.bytes.push_back(writer.type(kTypeMap));
  writer.bytes.push_back(char(width));
  return writer.bytes;
}

int ModelWriter::tensor(TfLiteType type, std::vector<int> dims) {
  model.tensors.emplace_back();
  model.tensors.back().type = type;
  model.tensors.back().dims = std::move(dims);
  return int(model.tensors.size()) - 1;
}

int ModelWriter::constant(TfLiteType type, std::vector<int> dims, const void* data) {
  size_t bytes = sizeof(float);  // of a constant's elements
  for (int size : dims) bytes *= size_t(size);
  const int index = tensor(type, std::move(dims));
  const char* from = static_cast<const char*>(data);
  model.tensors.back().constant = true;
  model.tensors.back().bytes.assign(from, from + bytes);
  return index;
}

int ModelWriter::custom(const char* name, std::vector<int> inputs, TfLiteType type,
                        std::vector<int> dims, const FlexOptions& options) {
  std::vector<char> bytes;
  if (!options.empty()) bytes = flexbuffer(options);
  return add({kBuiltinCustom, name, std::move(inputs), {}, std::move(bytes)}, type,
             std::move(dims));
}

int ModelWriter::add(ModelNode node, TfLiteType type, std::vector<int> dims) {
  const int output = tensor(type, std::move(dims));
  node.outputs = {output};
  model.nodes.push_back(std::move(node));
  return output;
}

bool network_model(const BnnFile& file, SmallGroups small_groups, int batch, NetworkModel* made) {
  *made = {};
  return NetworkWriter(file, small_groups, batch, made).write();
}

void fill_inputs(const Model& model, uint64_t seed, Interpreter* runtime) {
  for (int index : model.inputs) {
    const TfLiteTensor& input = runtime->tensor(index);
    if (input.allocation_type == kMmapRo) continue;
    if (input.type == kFloat32) {
      invent_values(seed, input.bytes / sizeof(float), static_cast<float*>(input.data));
    } else {
      SplitMix64 random{seed};
      uint8_t* bytes = static_cast<uint8_t*>(input.data);
      for (size_t i = 0; i < input.bytes; ++i) bytes[i] = uint8_t(random.next());
    }
  }
}

std::vector<float> engine_result(Network* network, uint64_t seed, int batch) {
  const size_t image = network->image_values(), result = network->result_values();
  std::vector<float> images(image * size_t(batch)), results(result * size_t(batch));
  invent_values(seed, images.size(), images.data());
  for (size_t n = 0; n < size_t(batch); ++n) {
    network->run(images.data() + n * image, results.data() + n * result);
  }
  return results;
}

}  // namespace bnn::litert
