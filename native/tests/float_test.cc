// The real-valued steps against plain double loops, within 1e-5 of the sum of magnitudes (the
// contract of float_ops.h). Random shapes, all ISAs, buffers of the exact size.
//
//   conv2d   any kernel, stride and groups, rows outside the image, RPReLU or not, floats and/or
//   bits;
//            a bit must say whether the kernel's own float is below its threshold
//   linear   also in two halves of output channels, as threads call it
//   pool     global_avgpool
#include <cmath>
#include <initializer_list>
#include <memory>

#include "core/float/float_ops.h"
#include "tests/check.h"

namespace bnn {
namespace {

constexpr double kTolerance = 1e-5;
constexpr int kPerGroup[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 48, 64, 65, 80};

struct Expected {
  double sum = 0, magnitude = 0;
  void add(double term) {
    sum += term;
    magnitude += std::fabs(term);
  }
  bool near(float found) const { return std::fabs(found - sum) <= kTolerance * magnitude; }
};

void fill(Buffer<float>* buffer, Random* random) {
  for (size_t i = 0; i < buffer->size(); ++i) (*buffer)[i] = random->real();
}

// A row of constants: `channels` random ones, then zeros as epilogue.h wants them.
void fill_constants(Buffer<float>* buffer, int channels, Random* random) {
  for (size_t i = 0; i < buffer->size(); ++i) {
    (*buffer)[i] = int(i) < channels ? random->real() : 0.0f;
  }
}

ConvShape random_shape(Random* random) {
  ConvShape s = {};
  s.kernel = 1 + 2 * random->below(4);
  s.stride = random->between(1, 3);
  s.groups = random->chance(50) ? 1 : random->between(1, 9);
  s.in_h = random->between(1, 7);
  s.in_w = random->between(1, 30);
  s.in_c = s.groups * random->between(1, 9);
  s.out_c = s.groups * random->pick(kPerGroup);
  set_same_padding(&s);
  return s;
}

struct ConvCase {
  ConvShape s;
  bool rprelu, values, bits;
  Buffer<float> input, weights, bias, beta, zeta, threshold;

  ConvCase(const ConvShape& shape, Random* random)
      : s(shape),
        rprelu(random->chance(50)),
        values(random->chance(80)),
        bits(!values || random->chance(50)),
        input(size_t(s.in_h) * size_t(s.in_w) * size_t(s.in_c)),
        weights(size_t(s.out_c) * size_t(s.k_bits())),
        bias(size_t(padded_channels(s.out_c))),
        beta(bias.size()),
        zeta(bias.size()),
        threshold(bias.size()) {
    fill(&input, random);
    fill(&weights, random);
    for (Buffer<float>* constants : {&bias, &beta, &zeta, &threshold}) {
      fill_constants(constants, s.out_c, random);
    }
  }

  EpilogueConstants constants() const {
    return {nullptr,
            bias.data(),
            rprelu ? beta.data() : nullptr,
            rprelu ? zeta.data() : nullptr,
            bits ? threshold.data() : nullptr,
            false};
  }

  Expected expected(int y, int x, int o) const {
    Expected sum;
    sum.add(bias[size_t(o)]);
    const int in_c = s.in_c_per_group(), first = o / s.out_c_per_group() * in_c;
    const float* w = &weights[size_t(o) * size_t(s.k_bits())];
    for (int ky = 0; ky < s.kernel; ++ky) {
      for (int kx = 0; kx < s.kernel; ++kx, w += in_c) {
        const int in_y = y * s.stride + ky - s.pad_top, in_x = x * s.stride + kx - s.pad_left;
        if (in_y < 0 || in_y >= s.in_h || in_x < 0 || in_x >= s.in_w) continue;
        for (int c = 0; c < in_c; ++c) {
          sum.add(double(w[c]) * input[size_t((in_y * s.in_w + in_x) * s.in_c + first + c)]);
        }
      }
    }
    if (!rprelu) return sum;
    // Both branches are continuous in y, so an error of y grows by at most |beta| or 1.
    Expected out = sum;
    if (sum.sum <= 0) out.sum *= beta[size_t(o)];
    out.magnitude *= 1 + std::fabs(double(beta[size_t(o)]));
    out.add(zeta[size_t(o)]);
    return out;
  }

  // Wrong values and bits of output row y.
  int wrong_row(Isa isa, const void* prepared, int y) const {
    const size_t pixels = size_t(s.out_w), channels = size_t(s.out_c);
    const size_t words = size_t(words_of(s.out_c));
    // Each input row in a buffer of its own, of the exact size.
    std::unique_ptr<Buffer<float>> rows[7];
    const float* in[7];
    for (int ky = 0; ky < s.kernel; ++ky) {
      const int in_y = s.window_row(y) + ky;
      const size_t row = size_t(s.in_w) * size_t(s.in_c);
      in[ky] = nullptr;
      if (in_y < 0 || in_y >= s.in_h) continue;
      rows[ky].reset(new Buffer<float>(row));
      std::memcpy(rows[ky]->data(), &input[size_t(in_y) * row], row * sizeof(float));
      in[ky] = rows[ky]->data();
    }
    // The floats are always asked for once: the bits are judged by them.
    Buffer<float> out(pixels * channels);
    Buffer<uint64_t> packed(bits ? pixels * words : 0);
    if (packed.size()) std::memset(packed.data(), 0, packed.size() * sizeof(uint64_t));
    const RowOutput output = {values ? out.data() : nullptr, bits ? packed.data() : nullptr};
    conv2d_row(isa, s, in, prepared, constants(), output);
    if (!values) conv2d_row(isa, s, in, prepared, constants(), {out.data(), nullptr});
    int wrong = 0;
    for (size_t x = 0; x < pixels; ++x) {
      for (size_t c = 0; c < channels; ++c) {
        wrong += !expected(y, int(x), int(c)).near(out[x * channels + c]);
      }
      for (size_t c = 0; bits && c < words * 64; ++c) {
        const bool below = c < channels && out[x * channels + c] < threshold[c];
        wrong += (packed[x * words + c / 64] >> (c % 64) & 1) != uint64_t(below);
      }
    }
    return wrong;
  }
};

int wrong_conv2d(Isa isa, Random* random) {
  const ConvCase test(random_shape(random), random);
  Buffer<unsigned char> prepared(conv2d_prepared_bytes(test.s));
  prepare_conv2d(test.s, test.weights.data(), prepared.data());
  int wrong = 0;
  for (int y = 0; y < test.s.out_h; ++y) wrong += test.wrong_row(isa, prepared.data(), y);
  if (wrong != 0) {
    std::printf("  conv2d ");
    print_shape(test.s);
    std::printf(" rprelu %d values %d bits %d: %d wrong\n", test.rprelu, test.values, test.bits,
                wrong);
  }
  return wrong;
}

int wrong_linear(Isa isa, Random* random) {
  const int in_c = random->between(1, 200), out_c = random->between(1, 29);
  const int split = random->below(out_c);  // the first call's output channels; none is one call
  const size_t inputs = size_t(in_c), outputs = size_t(out_c), from = size_t(split);
  Buffer<float> input(inputs), weights(inputs * outputs), bias(outputs), out(outputs);
  fill(&input, random);
  fill(&weights, random);
  fill(&bias, random);
  if (split > 0) {
    linear(isa, input.data(), weights.data(), bias.data(), in_c, split, out.data());
  }
  linear(isa, input.data(), weights.data() + from * inputs, bias.data() + from, in_c, out_c - split,
         out.data() + from);
  int wrong = 0;
  for (size_t o = 0; o < outputs; ++o) {
    Expected expected;
    expected.add(bias[o]);
    for (size_t c = 0; c < inputs; ++c) expected.add(double(weights[o * inputs + c]) * input[c]);
    wrong += !expected.near(out[o]);
  }
  return wrong;
}

int wrong_pool(Isa isa, Random* random) {
  const int height = random->between(1, 8), width = random->between(1, 8),
            channels = random->between(1, 300);
  const size_t outputs = size_t(channels), pixels = size_t(height * width);
  Buffer<float> input(pixels * outputs), out(outputs);
  fill(&input, random);
  global_avgpool(isa, input.data(), height, width, channels, out.data());
  int wrong = 0;
  for (size_t c = 0; c < outputs; ++c) {
    Expected expected;
    for (size_t i = 0; i < pixels; ++i) {
      expected.add(double(input[i * outputs + c]) / double(pixels));
    }
    wrong += !expected.near(out[c]);
  }
  return wrong;
}

int run(int argc, char** argv) {
  const uint64_t seed = option(argc, argv, "--seed", 11);
  const int rounds = int(option(argc, argv, "--rounds", 300));
  int wrong = 0;
  for (Isa isa : kIsas) {
    if (!isa_tested(argc, argv, isa)) continue;
    Random random(seed);
    int conv = 0, dot = 0, pool = 0;
    for (int i = 0; i < rounds; ++i) {
      conv += wrong_conv2d(isa, &random);
      dot += wrong_linear(isa, &random);
      pool += wrong_pool(isa, &random);
    }
    std::printf(
        "float_test: %-8s %d rounds, wrong values: conv2d %d, linear %d, global_avgpool %d, seed "
        "%llu\n",
        isa_name(isa), rounds, conv, dot, pool, static_cast<unsigned long long>(seed));
    wrong += conv + dot + pool;
  }
  return wrong != 0;
}

}  // namespace
}  // namespace bnn

int main(int argc, char** argv) { return bnn::run(argc, argv); }
