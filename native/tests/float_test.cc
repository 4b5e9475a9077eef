// The real-valued steps against plain double loops, within 1e-5 of the sum of magnitudes (the
// contract of float_ops.h).
#include <cmath>
#include <vector>

#include "core/float/float_ops.h"
#include "tests/check.h"

namespace bnn {
namespace {

constexpr double kTolerance = 1e-5;
constexpr int kPerGroup[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 64, 65};

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

int wrong_conv2d(Isa isa, Random* random) {
  ConvShape s = {};
  s.kernel = 1 + 2 * random->below(4);
  s.stride = random->between(1, 2);
  s.groups = random->chance(50) ? 1 : random->between(1, 5);
  s.in_h = random->between(1, 9);
  s.in_w = random->between(1, 20);
  s.in_c = s.groups * random->between(1, 9);
  s.out_c = s.groups * random->pick(kPerGroup);
  set_same_padding(&s);
  const size_t filter = size_t(s.k_bits());
  const size_t outputs = size_t(s.out_c);
  Buffer<float> input(size_t(s.in_h) * s.in_w * s.in_c), weights(outputs * filter), bias(outputs);
  fill(&input, random);
  fill(&weights, random);
  fill(&bias, random);
  Buffer<unsigned char> prepared(conv2d_prepared_bytes(s));
  prepare_conv2d(s, weights.data(), prepared.data());
  int wrong = 0;
  for (int y = 0; y < s.out_h; ++y) {
    Buffer<float> row(size_t(s.out_w) * s.out_c);
    conv2d_row(isa, s, input.data(), prepared.data(), bias.data(), y, row.data());
    for (int x = 0; x < s.out_w; ++x) {
      for (int o = 0; o < s.out_c; ++o) {
        Expected expected;
        expected.add(bias[size_t(o)]);
        const int first = o / s.out_c_per_group() * s.in_c_per_group();
        const float* w = &weights[size_t(o) * filter];
        for (int ky = 0; ky < s.kernel; ++ky) {
          for (int kx = 0; kx < s.kernel; ++kx, w += s.in_c_per_group()) {
            const int in_y = y * s.stride + ky - s.pad_top, in_x = x * s.stride + kx - s.pad_left;
            if (in_y < 0 || in_y >= s.in_h || in_x < 0 || in_x >= s.in_w) continue;
            for (int c = 0; c < s.in_c_per_group(); ++c) {
              expected.add(double(w[c]) *
                           input[size_t((in_y * s.in_w + in_x) * s.in_c + first + c)]);
            }
          }
        }
        wrong += !expected.near(row[size_t(x * s.out_c + o)]);
      }
    }
  }
  if (wrong != 0) {
    std::printf("  conv2d ");
    print_shape(s);
    std::printf(": %d wrong\n", wrong);
  }
  return wrong;
}

int wrong_linear(Isa isa, Random* random) {
  const int in_c = random->between(1, 70), out_c = random->between(1, 13);
  const size_t inputs = size_t(in_c), outputs = size_t(out_c);
  Buffer<float> input(inputs), weights(inputs * outputs), bias(outputs), out(outputs);
  fill(&input, random);
  fill(&weights, random);
  fill(&bias, random);
  linear(isa, input.data(), weights.data(), bias.data(), in_c, out_c, out.data());
  int wrong = 0;
  for (int o = 0; o < out_c; ++o) {
    Expected expected;
    expected.add(bias[size_t(o)]);
    for (int c = 0; c < in_c; ++c)
      expected.add(double(weights[size_t(o * in_c + c)]) * input[size_t(c)]);
    wrong += !expected.near(out[size_t(o)]);
  }
  return wrong;
}

int wrong_pool(Random* random) {
  const int height = random->between(1, 8), width = random->between(1, 8),
            channels = random->between(1, 70);
  const size_t outputs = size_t(channels);
  Buffer<float> input(size_t(height * width) * outputs), out(outputs);
  fill(&input, random);
  global_avgpool(input.data(), height, width, channels, out.data());
  int wrong = 0;
  for (int c = 0; c < channels; ++c) {
    Expected expected;
    for (int i = 0; i < height * width; ++i) {
      expected.add(double(input[size_t(i * channels + c)]) / (height * width));
    }
    wrong += !expected.near(out[size_t(c)]);
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
      pool += wrong_pool(&random);
    }
    std::printf(
        "float_test: %-7s %d rounds, wrong values: conv2d %d, linear %d, global_avgpool %d, seed "
        "%llu\n",
        isa_name(isa), rounds, conv, dot, pool, static_cast<unsigned long long>(seed));
    wrong += conv + dot + pool;
  }
  return wrong != 0;
}

}  // namespace
}  // namespace bnn

int main(int argc, char** argv) { return bnn::run(argc, argv); }
