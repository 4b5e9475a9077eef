#include "doors/litert/test_operators.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "doors/litert/graph.h"
#include "doors/litert/plain_nodes.h"

namespace bnn::litert {
namespace {

constexpr int kMostMacs = 1 << 19;  // of a convolution: plain loops take milliseconds

int pick(std::initializer_list<int> values, SplitMix64* random) {
  return values.begin()[random->below(values.size())];
}

int draw(int least, int most, SplitMix64* random) {
  return least + int(random->below(uint64_t(most - least + 1)));
}

template <class Value>
int drawn_constant(ModelWriter* writer, TfLiteType type, std::vector<int> dims,
                   const Value& value) {
  size_t count = 1;
  for (int size : dims) count *= size_t(size);
  std::vector<decltype(value())> values(count);
  std::generate(values.begin(), values.end(), value);
  return writer->constant(type, std::move(dims), values.data());
}

Model finished(ModelWriter* writer, int input, int output) {
  writer->model.inputs = {input};
  writer->model.outputs = {output};
  return std::move(writer->model);
}

Model bconv2d_model(SplitMix64* random) {
  const bool own = random->below(2);
  const int groups = pick({1, 1, 1, 2, 3, 4, 8}, random);
  const bool whole_words = !own && groups > 1;
  const int channels = whole_words ? 32 * draw(1, 3, random)
                                   : pick({1, 2, 3, 8, 16, 31, 32, 33, 40, 64, 65, 96}, random);
  const int outputs = groups * pick({1, 2, 5, 8, 16, 33}, random), batch = draw(1, 3, random);
  Axis y, x;
  int k_bits, pixels;
  do {
    const bool same = random->below(2);
    for (Axis* axis : {&y, &x}) {
      *axis = {draw(1, 9, random), pick({1, 2, 3, 3, 5, 7}, random), draw(1, 3, random),
               pick({1, 1, 1, 2, 3}, random), same};
    }
    k_bits = y.window * x.window * channels;
    pixels = batch * y.out() * x.out();
  } while (pixels < 1 || pixels * outputs * k_bits > kMostMacs);
  FlexOptions options = {{"channels_in", channels * groups},
                         {"dilation_height_factor", y.dilation},
                         {"dilation_width_factor", x.dilation},
                         {"fused_activation_function", draw(0, 3, random)},
                         {"pad_values", channels % 2 ? 1 : draw(0, 1, random)},
                         {"padding", y.same ? 0 : 1},
                         {"stride_height", y.stride},
                         {"stride_width", x.stride}};
  if (own) options["groups"] = groups;
  const TfLiteType type = TfLiteType(pick({kFloat32, kInt32, kInt8}, random));
  ModelWriter writer;
  const int input = writer.tensor(kInt32, {batch, y.size, x.size, words32_of(channels * groups)});
  const int filter =
      drawn_constant(&writer, kInt32, {outputs, y.window, x.window, words32_of(channels)},
                     [&] { return uint32_t(random->next()); });
  std::vector<int> inputs = {input, filter, kOptionalTensor, kOptionalTensor, kOptionalTensor};
  if (type == kInt32) {
    inputs[4] = drawn_constant(&writer, kInt32, {outputs},
                               [&] { return int32_t(draw(-2, k_bits + 2, random)); });
  } else {
    const float most = 2.0f / std::sqrt(float(k_bits));
    inputs[2] =
        drawn_constant(&writer, kFloat32, {outputs}, [&] { return random->uniform(-most, most); });
    inputs[3] =
        drawn_constant(&writer, kFloat32, {outputs}, [&] { return random->uniform(-1.0f, 1.0f); });
  }
  const int last = type == kInt32 ? words32_of(outputs) : outputs;
  const int output = writer.custom(own ? "BnnBconv2d" : "LceBconv2d", inputs, type,
                                   {batch, y.out(), x.out(), last}, options);
  writer.model.tensors.back().scale = random->uniform(0.005f, 0.1f);
  writer.model.tensors.back().zero_point = draw(-40, 40, random);
  return finished(&writer, input, output);
}

Model bmaxpool2d_model(SplitMix64* random) {
  const bool same = random->below(2);
  Axis y, x;
  do {
    for (Axis* axis : {&y, &x}) {
      *axis = {draw(1, 9, random), draw(1, 4, random), draw(1, 4, random), 1, same};
    }
  } while (y.out() < 1 || x.out() < 1);
  const int batch = draw(1, 3, random), words = draw(1, 3, random);
  const FlexOptions options = {{"filter_height", y.window},
                               {"filter_width", x.window},
                               {"padding", same ? 0 : 1},
                               {"stride_height", y.stride},
                               {"stride_width", x.stride}};
  ModelWriter writer;
  const int input = writer.tensor(kInt32, {batch, y.size, x.size, words});
  return finished(
      &writer, input,
      writer.custom("LceBMaxPool2d", {input}, kInt32, {batch, y.out(), x.out(), words}, options));
}

// LceQuantize or LceDequantize.
Model quantize_model(bool back, SplitMix64* random) {
  const TfLiteType type = TfLiteType(pick({kFloat32, kInt8, kBool}, random));
  const int channels = pick({1, 2, 31, 32, 33, 64, 70}, random);
  std::vector<int> dims;
  for (int i = draw(0, 3, random); i > 0; --i) dims.push_back(draw(1, 5, random));
  std::vector<int> values = dims, words = dims;
  values.push_back(channels);
  words.push_back(words32_of(channels));
  ModelWriter writer;
  const int input = back ? writer.tensor(kInt32, words) : writer.tensor(type, values);
  writer.model.tensors.back().zero_point = draw(-60, 60, random);
  const int output = back ? writer.custom("LceDequantize", {input}, type, values, {})
                          : writer.custom("LceQuantize", {input}, kInt32, words, {});
  writer.model.tensors.back().zero_point = draw(-60, 60, random);
  writer.model.tensors.back().scale = random->uniform(0.01f, 3.0f);
  return finished(&writer, input, output);
}

}  // namespace

Model operator_model(SplitMix64* random) {
  switch (random->below(6)) {
    case 0:
      return quantize_model(false, random);
    case 1:
      return quantize_model(true, random);
    case 2:
      return bmaxpool2d_model(random);
    default:
      return bconv2d_model(random);
  }
}

}  // namespace bnn::litert
