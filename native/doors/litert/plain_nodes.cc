#include "doors/litert/plain_nodes.h"

#include <algorithm>
#include <cmath>

#include "doors/litert/flexbuffer.h"

namespace bnn::litert {
namespace {

constexpr double kTolerance = 1e-5;

class Plain {
 public:
  Plain(const ModelNode& node, const Interpreter& runtime) : node_(node), runtime_(runtime) {}

  bool is_right();

 private:
  struct Sum {
    double value = 0.0, magnitude = 0.0;

    void add(double more) {
      value += more;
      magnitude += std::fabs(more);
    }
  };

  const TfLiteTensor& in(int i) const { return runtime_.tensor(node_.inputs[size_t(i)]); }
  const TfLiteTensor& out() const { return runtime_.tensor(node_.outputs[0]); }
  static int dim(const TfLiteTensor& tensor, int axis) { return tensor.dims->data[axis]; }
  static int last(const TfLiteTensor& tensor) { return dim(tensor, tensor.dims->size - 1); }
  static size_t elements(const TfLiteTensor& tensor) {
    size_t count = 1;
    for (int i = 0; i < tensor.dims->size; ++i) count *= size_t(dim(tensor, i));
    return count;
  }
  static const float* floats(const TfLiteTensor& tensor) {
    return static_cast<const float*>(tensor.data);
  }
  static const int32_t* ints(const TfLiteTensor& tensor) {
    return static_cast<const int32_t*>(tensor.data);
  }
  // Channel c of pixel `row` of packed bits.
  static bool bit(const TfLiteTensor& tensor, size_t row, int c) {
    return ints(tensor)[row * size_t(last(tensor)) + size_t(c / 32)] >> (c % 32) & 1;
  }
  static size_t pixel(const TfLiteTensor& image, int n, int y, int x) {
    return (size_t(n) * size_t(dim(image, 1)) + size_t(y)) * size_t(dim(image, 2)) + size_t(x);
  }
  int option(const char* key) const {
    FlexMap map;
    int64_t value = 0;
    if (!map.parse(node_.options.data(), node_.options.size()) || !map.find(key, &value)) return 0;
    return int(value);
  }
  template <class Params>
  const Params& params() const {
    return *reinterpret_cast<const Params*>(node_.options.data());
  }
  Axis axis(int i, int window, int stride, int dilation, bool same) const {
    return {dim(in(0), i), window, stride, dilation, same};
  }

  bool is_value(size_t index, const Sum& expected) const;
  template <class Expected>
  bool each_value(const Expected& expected) const;
  template <class Visit>
  bool each_pixel(const Visit& visit) const;

  bool quantize() const;
  bool dequantize() const;
  bool bconv2d() const;
  bool bmaxpool2d() const;
  bool elementwise() const;
  bool average_pool() const;
  bool pad() const;
  bool conv2d() const;
  bool mean() const;
  bool fully_connected() const;

  const ModelNode& node_;
  const Interpreter& runtime_;
};

bool Plain::is_value(size_t index, const Sum& expected) const {
  const double near = kTolerance * (expected.magnitude + 1e-3);
  if (out().type == kFloat32) return std::fabs(floats(out())[index] - expected.value) <= near;
  const double q = expected.value / double(out().params.scale) + out().params.zero_point;
  const double found = static_cast<const int8_t*>(out().data)[index];
  return std::fabs(std::clamp(q, -128.0, 127.0) - found) <= 0.5 + near / double(out().params.scale);
}

template <class Expected>
bool Plain::each_value(const Expected& expected) const {
  for (size_t i = 0; i < elements(out()); ++i) {
    if (!is_value(i, expected(i))) return false;
  }
  return true;
}

// visit(row, n, y, x) for each pixel of the output
template <class Visit>
bool Plain::each_pixel(const Visit& visit) const {
  for (int n = 0; n < dim(out(), 0); ++n) {
    for (int y = 0; y < dim(out(), 1); ++y) {
      for (int x = 0; x < dim(out(), 2); ++x) {
        if (!visit(pixel(out(), n, y, x), n, y, x)) return false;
      }
    }
  }
  return true;
}

bool Plain::quantize() const {
  const int channels = last(in(0));
  for (size_t i = 0; i < elements(in(0)); ++i) {
    const auto* bytes = static_cast<const int8_t*>(in(0).data);
    const bool minus = in(0).type == kFloat32 ? floats(in(0))[i] < 0.0f
                       : in(0).type == kInt8  ? bytes[i] < in(0).params.zero_point
                                              : bytes[i] == 0;
    if (bit(out(), i / size_t(channels), int(i % size_t(channels))) != minus) return false;
  }
  return true;
}

bool Plain::dequantize() const {
  const int channels = last(out());
  const double one = out().type == kInt8 ? double(out().params.scale) : 1.0;
  for (size_t i = 0; i < elements(out()); ++i) {
    const bool minus = bit(in(0), i / size_t(channels), int(i % size_t(channels)));
    if (out().type == kBool) {
      if (static_cast<const uint8_t*>(out().data)[i] != (minus ? 0 : 1)) return false;
      continue;
    }
    const double steps = out().type == kInt8 ? std::round(1.0 / one) : 1.0;
    if (!is_value(i, {(minus ? -steps : steps) * one, 0.0})) return false;
  }
  return true;
}

bool Plain::bconv2d() const {
  const bool same = option("padding") == 0, ones = option("pad_values") == 1;
  const Axis y_axis = axis(1, dim(in(1), 1), option("stride_height"),
                           option("dilation_height_factor"), same),
             x_axis = axis(2, dim(in(1), 2), option("stride_width"),
                           option("dilation_width_factor"), same);
  const int groups = option("groups") ? option("groups") : last(in(0)) / last(in(1));
  const int channels = option("channels_in") / groups, outputs = dim(in(1), 0);
  const int k_bits = y_axis.window * x_axis.window * channels;
  const int activation = option("fused_activation_function");
  return each_pixel([&](size_t row, int n, int y, int x) {
    for (int o = 0; o < outputs; ++o) {
      int dot = 0;
      for (int tap = 0; tap < y_axis.window * x_axis.window; ++tap) {
        const int in_y = y_axis.place(y, tap / x_axis.window);
        const int in_x = x_axis.place(x, tap % x_axis.window);
        const bool inside = y_axis.has(in_y) && x_axis.has(in_x);
        if (!inside && !ones) continue;
        for (int c = 0; c < channels; ++c) {
          const int first = o / (outputs / groups) * channels;
          const bool a = inside && bit(in(0), pixel(in(0), n, in_y, in_x), first + c);
          const bool b = bit(in(1), size_t(o * y_axis.window * x_axis.window + tap), c);
          dot += a == b ? 1 : -1;
        }
      }
      if (out().type == kInt32) {
        if (bit(out(), row, o) != (k_bits - dot > 2 * int64_t(ints(in(4))[o]))) return false;
        continue;
      }
      if (activation == kRelu || activation == kRelu6) dot = std::max(dot, 0);
      if (activation == kRelu6) dot = std::min(dot, 6);
      if (activation == kReluN1To1) dot = std::clamp(dot, -1, 1);
      Sum sum;
      sum.add(double(floats(in(2))[o]) * dot);
      sum.add(floats(in(3))[o]);
      sum.magnitude += std::fabs(floats(in(2))[o]) * k_bits;  // K is folded into the bias
      if (!is_value(row * size_t(outputs) + size_t(o), sum)) return false;
    }
    return true;
  });
}

bool Plain::bmaxpool2d() const {
  const bool same = option("padding") == 0;
  const Axis y_axis = axis(1, option("filter_height"), option("stride_height"), 1, same),
             x_axis = axis(2, option("filter_width"), option("stride_width"), 1, same);
  return each_pixel([&](size_t row, int n, int y, int x) {
    for (int c = 0; c < 32 * last(in(0)); ++c) {
      bool minus = true;
      for (int tap = 0; tap < y_axis.window * x_axis.window; ++tap) {
        const int in_y = y_axis.place(y, tap / x_axis.window);
        const int in_x = x_axis.place(x, tap % x_axis.window);
        if (y_axis.has(in_y) && x_axis.has(in_x)) {
          minus = minus && bit(in(0), pixel(in(0), n, in_y, in_x), c);
        }
      }
      if (bit(out(), row, c) != minus) return false;
    }
    return true;
  });
}

// The second input: of the same shape, or a number for each channel, or one.
bool Plain::elementwise() const {
  const size_t count = elements(in(1));
  return each_value([&](size_t i) {
    const double a = floats(in(0))[i], b = floats(in(1))[i % count];
    Sum sum;
    if (node_.builtin == kBuiltinPrelu) {
      sum.add(a > 0.0 ? a : a * b);
    } else {
      sum.add(a);
      sum.add(node_.builtin == kBuiltinSub ? -b : b);
    }
    sum.magnitude += 1.0;  // a was rounded elsewhere
    return sum;
  });
}

bool Plain::average_pool() const {
  const auto& pool = params<TfLitePoolParams>();
  const bool same = pool.padding == kSame;
  const Axis y_axis = axis(1, pool.filter_height, pool.stride_height, 1, same),
             x_axis = axis(2, pool.filter_width, pool.stride_width, 1, same);
  return each_pixel([&](size_t row, int n, int y, int x) {
    for (int c = 0; c < last(in(0)); ++c) {
      Sum sum;
      int count = 0;
      for (int tap = 0; tap < y_axis.window * x_axis.window; ++tap) {
        const int in_y = y_axis.place(y, tap / x_axis.window);
        const int in_x = x_axis.place(x, tap % x_axis.window);
        if (!y_axis.has(in_y) || !x_axis.has(in_x)) continue;
        sum.add(floats(in(0))[pixel(in(0), n, in_y, in_x) * size_t(last(in(0))) + size_t(c)]);
        ++count;
      }
      if (!is_value(row * size_t(last(in(0))) + size_t(c), {sum.value / count, sum.magnitude})) {
        return false;
      }
    }
    return true;
  });
}

// As an exporter pads: the last axis, at its end.
bool Plain::pad() const {
  return each_value([&](size_t i) {
    const size_t wide = size_t(last(out())), narrow = size_t(last(in(0)));
    const bool added = i % wide >= narrow;
    return Sum{added ? *floats(in(2)) : floats(in(0))[i / wide * narrow + i % wide], 0.0};
  });
}

bool Plain::conv2d() const {
  const auto& conv = params<TfLiteConvParams>();
  const bool same = conv.padding == kSame;
  const Axis y_axis = axis(1, dim(in(1), 1), conv.stride_height, 1, same),
             x_axis = axis(2, dim(in(1), 2), conv.stride_width, 1, same);
  const int channels = last(in(1)), outputs = dim(in(1), 0), groups = last(in(0)) / channels;
  return each_pixel([&](size_t row, int n, int y, int x) {
    for (int o = 0; o < outputs; ++o) {
      Sum sum;
      sum.add(floats(in(2))[o]);
      for (int tap = 0; tap < y_axis.window * x_axis.window; ++tap) {
        const int in_y = y_axis.place(y, tap / x_axis.window);
        const int in_x = x_axis.place(x, tap % x_axis.window);
        if (!y_axis.has(in_y) || !x_axis.has(in_x)) continue;
        const float* a = floats(in(0)) + pixel(in(0), n, in_y, in_x) * size_t(last(in(0))) +
                         o / (outputs / groups) * channels;
        const float* b = floats(in(1)) + (o * y_axis.window * x_axis.window + tap) * channels;
        for (int c = 0; c < channels; ++c) sum.add(double(a[c]) * b[c]);
      }
      if (!is_value(row * size_t(outputs) + size_t(o), sum)) return false;
    }
    return true;
  });
}

bool Plain::mean() const {
  const size_t channels = size_t(last(in(0))), pixels = size_t(dim(in(0), 1)) * dim(in(0), 2);
  return each_value([&](size_t i) {
    Sum sum;
    const float* image = floats(in(0)) + i / channels * pixels * channels + i % channels;
    for (size_t p = 0; p < pixels; ++p) sum.add(image[p * channels]);
    return Sum{sum.value / double(pixels), sum.magnitude};
  });
}

bool Plain::fully_connected() const {
  const size_t inputs = size_t(last(in(0))), outputs = size_t(last(out()));
  return each_value([&](size_t i) {
    Sum sum;
    sum.add(floats(in(2))[i % outputs]);
    for (size_t k = 0; k < inputs; ++k) {
      sum.add(double(floats(in(0))[i / outputs * inputs + k]) *
              floats(in(1))[i % outputs * inputs + k]);
    }
    return sum;
  });
}

bool Plain::is_right() {
  switch (node_.builtin) {
    case kBuiltinAdd:
    case kBuiltinSub:
    case kBuiltinPrelu:
      return elementwise();
    case kBuiltinAveragePool2d:
      return average_pool();
    case kBuiltinConcatenation:
      return each_value([&](size_t i) {
        const size_t wide = size_t(last(out())), narrow = size_t(last(in(0)));
        return Sum{floats(in(0))[i / wide * narrow + i % narrow], 0.0};
      });
    case kBuiltinReshape:
      return each_value([&](size_t i) { return Sum{floats(in(0))[i], 0.0}; });
    case kBuiltinPadV2:
      return pad();
    case kBuiltinConv2d:
      return conv2d();
    case kBuiltinMean:
      return mean();
    case kBuiltinFullyConnected:
      return fully_connected();
    default:
      if (node_.name == "LceQuantize") return quantize();
      if (node_.name == "LceDequantize") return dequantize();
      return node_.name == "LceBMaxPool2d" ? bmaxpool2d() : bconv2d();
  }
}

}  // namespace

bool is_right(const ModelNode& node, const Interpreter& runtime) {
  return Plain(node, runtime).is_right();
}

}  // namespace bnn::litert
