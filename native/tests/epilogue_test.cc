// Whole rows, against the formulas of epilogue.h, bit for bit: average pool, repeat, and the
// epilogue behind an activation; odd sizes, channel tails, signed zeros. What kernels do:
// bconv2d_test.
//
//   epilogue_test [--rounds N] [--isa NAME] [--seed S]
#include "core/epilogue/epilogue.h"

#include <cmath>
#include <initializer_list>

#include "tests/check.h"

namespace bnn {
namespace {

constexpr int kChannels[] = {1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 128, 130};
constexpr float kSpecial[] = {0.0f, -0.0f, 1.0f, -1.0f};

struct Case {
  ConvShape shape = {};
  Buffer<float> image;  // [in_h, in_w, in_c]

  static ConvShape random_shape(Random* random, int stride, int most_repeats) {
    ConvShape s = {};
    s.kernel = 3;
    s.stride = stride;
    s.groups = 1;
    s.in_h = random->between(1, 7);
    s.in_w = random->between(1, 7);
    s.in_c = random->pick(kChannels);
    s.out_c = s.in_c * random->between(1, most_repeats);
    set_same_padding(&s);
    return s;
  }

  Case(const ConvShape& s, Random* random)
      : shape(s), image(size_t(s.in_h) * size_t(s.in_w) * size_t(s.in_c)) {
    for (size_t i = 0; i < image.size(); ++i) {
      image[i] = random->chance(15) ? kSpecial[random->below(4)] : random->real();
    }
  }

  float at(int y, int x, int c) const {
    return image[(size_t(y) * size_t(shape.in_w) + size_t(x)) * size_t(shape.in_c) + size_t(c)];
  }

  // Additions before multiplications: nothing here that a compiler could contract.
  float pooled(int y, int x, int c) const {
    const bool right = 2 * x + 1 < shape.in_w, below = 2 * y + 1 < shape.in_h;
    const float a = at(2 * y, 2 * x, c);
    if (!right && !below) return a;
    if (!below) return (a + at(2 * y, 2 * x + 1, c)) * 0.5f;
    if (!right) return (a + at(2 * y + 1, 2 * x, c)) * 0.5f;
    const float upper = a + at(2 * y, 2 * x + 1, c);
    return (upper + (at(2 * y + 1, 2 * x, c) + at(2 * y + 1, 2 * x + 1, c))) * 0.25f;
  }

  // Row y of the image in memory of its own, so that a read past its end shows.
  void copy_row(int y, Buffer<float>* row) const {
    std::memcpy(row->data(), image.data() + size_t(y) * row->size(), row->size() * sizeof(float));
  }
};

int count_wrong(const Case& test, int y, const Buffer<float>& row,
                float (*expected)(const Case&, int, int, int)) {
  int wrong = 0;
  size_t i = 0;
  const int channels = int(row.size()) / test.shape.out_w;
  for (int x = 0; x < test.shape.out_w; ++x) {
    for (int c = 0; c < channels; ++c, ++i) {
      const float want = expected(test, y, x, c);
      wrong += std::memcmp(&row[i], &want, sizeof want) != 0;
    }
  }
  return wrong;
}

int test_avgpool(Isa isa, const Case& test) {
  const ConvShape& s = test.shape;
  const size_t in_row = size_t(s.in_w) * size_t(s.in_c);
  int wrong = 0;
  for (int y = 0; y < s.out_h; ++y) {
    Buffer<float> upper(in_row), lower(in_row), pooled(size_t(s.out_w) * size_t(s.in_c));
    const bool below = 2 * y + 1 < s.in_h;
    test.copy_row(2 * y, &upper);
    if (below) test.copy_row(2 * y + 1, &lower);
    avgpool_row(isa, s, upper.data(), below ? lower.data() : nullptr, pooled.data());
    wrong += count_wrong(test, y, pooled, [](const Case& of, int out_y, int x, int c) {
      return of.pooled(out_y, x, c);
    });
  }
  return wrong;
}

int test_repeat(const Case& test) {
  const ConvShape& s = test.shape;
  int wrong = 0;
  for (int y = 0; y < s.out_h; ++y) {
    Buffer<float> row(size_t(s.in_w) * size_t(s.in_c)), out(size_t(s.out_w) * size_t(s.out_c));
    test.copy_row(y, &row);
    repeat_row(s, s.in_c, row.data(), out.data());
    wrong += count_wrong(test, y, out, [](const Case& of, int out_y, int x, int c) {
      return of.at(out_y, x, c % of.shape.in_c);
    });
  }
  return wrong;
}

constexpr Bounds kBounds[] = {{0, HUGE_VALF}, {-1, 1}, {0, 6}, {-HUGE_VALF, HUGE_VALF}};

// The image's first row as dot products, which are integers.
int test_activated(Isa isa, Random* random) {
  const ConvShape s = Case::random_shape(random, 1, 1);
  const size_t channels = size_t(s.out_c), row = size_t(s.out_w) * channels;
  const size_t words = size_t(s.out_w) * size_t(words_of(s.out_c));
  const Bounds bounds = kBounds[random->below(4)];
  const bool rprelu = random->chance(50), adds = random->chance(50), bits = random->chance(60);
  Buffer<float> dots(row), shortcut(row), values(row), scale(size_t(padded_channels(s.out_c))),
      bias(scale.size()), beta(scale.size()), zeta(scale.size()), threshold(scale.size());
  for (size_t i = 0; i < row; ++i) {
    dots[i] = float(random->between(-20, 20));
    shortcut[i] = random->real();
  }
  for (Buffer<float>* constants : {&scale, &bias, &beta, &zeta, &threshold}) {
    for (size_t o = 0; o < scale.size(); ++o)
      (*constants)[o] = o < channels ? random->real() : 0.0f;
  }
  Buffer<uint64_t> packed(words);
  std::memset(packed.data(), 0, words * sizeof(uint64_t));
  const EpilogueConstants constants = {scale.data(),
                                       bias.data(),
                                       rprelu ? beta.data() : nullptr,
                                       rprelu ? zeta.data() : nullptr,
                                       bits ? threshold.data() : nullptr,
                                       false};
  activated_row(isa, s, dots.data(), bounds, constants,
                {adds ? shortcut.data() : nullptr, adds ? s.out_c : 0},
                {values.data(), bits ? packed.data() : nullptr});
  int wrong = 0;
  for (size_t i = 0; i < row; ++i) {
    const size_t o = i % channels;
    const float dot = std::fmax(std::fmin(dots[i], bounds.most), bounds.least);
    float y = std::fma(scale[o], dot, bias[o]);
    if (adds) y += shortcut[i];
    if (rprelu) y = (y > 0.0f ? y : beta[o] * y) + zeta[o];
    wrong += std::memcmp(&values[i], &y, sizeof y) != 0;
    const uint64_t word = packed[i / channels * size_t(words_of(s.out_c)) + o / 64];
    wrong += bits && (word >> (o % 64) & 1) != uint64_t(y < threshold[o]);
  }
  return wrong;
}

int run(int argc, char** argv) {
  const uint64_t seed = option(argc, argv, "--seed", 7);
  const int rounds = int(option(argc, argv, "--rounds", 400));
  int all_wrong = 0;
  for (Isa isa : kIsas) {
    if (!isa_tested(argc, argv, isa)) continue;
    Random random(seed);  // the same cases for every instruction set
    int wrong = 0;
    for (int round = 0; round < rounds; ++round) {
      wrong += test_avgpool(isa, Case(Case::random_shape(&random, 2, 1), &random));
      wrong += test_repeat(Case(Case::random_shape(&random, 1, 3), &random));
      wrong += test_activated(isa, &random);
    }
    std::printf("epilogue_test: %-8s %d cases, %d wrong values, seed %llu\n", isa_name(isa),
                3 * rounds, wrong, static_cast<unsigned long long>(seed));
    all_wrong += wrong;
  }
  return all_wrong != 0;
}

}  // namespace
}  // namespace bnn

int main(int argc, char** argv) { return bnn::run(argc, argv); }
