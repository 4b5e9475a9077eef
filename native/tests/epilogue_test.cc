// Every epilogue against the formula of epilogue.h, bit for bit: shortcut x RPReLU x outputs x
// instruction set, odd sizes, channel tails, signed zeros, negative slopes, thresholds that equal
// a value.
#include "core/epilogue/epilogue.h"

#include <initializer_list>
#include <vector>

#include "tests/check.h"

namespace bnn {
namespace {

constexpr Shortcut kShortcuts[] = {Shortcut::kNone, Shortcut::kIdentity, Shortcut::kAvgPool,
                                   Shortcut::kRepeat};
constexpr int kChannels[] = {1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 128, 130};
constexpr float kSpecial[] = {0.0f, -0.0f, 1.0f, -1.0f};

// One rounding per operation: volatile forbids contraction to FMA, whatever the compiler flags of
// this file.
float times(float a, float b) {
  volatile float product = a * b;
  return product;
}
float plus(float a, float b) {
  volatile float sum = a + b;
  return sum;
}

struct Case {
  ConvShape shape = {};
  Shortcut shortcut;
  bool binary, rprelu;
  std::vector<float> scale, bias, gamma, beta, zeta, threshold, values_in, row;
  std::vector<int32_t> acc, int_threshold;
  std::vector<float> expected;     // [out_h, out_w, out_c]
  std::vector<uint64_t> bits;      // [out_h, out_w, words]
  std::vector<uint64_t> int_bits;  // acc > int_threshold

  float real(Random* random) {
    return random->chance(15) ? kSpecial[random->below(4)] : random->real();
  }

  Case(Random* random, Shortcut kind, bool is_binary, bool has_rprelu)
      : shortcut(kind), binary(is_binary), rprelu(has_rprelu) {
    ConvShape& s = shape;
    s.kernel = 3;
    s.stride = kind == Shortcut::kAvgPool ? 2 : 1;
    s.groups = 1;
    s.in_h = random->between(1, 7);
    s.in_w = random->between(1, 7);
    s.in_c = random->pick(kChannels);
    s.out_c = kind == Shortcut::kRepeat ? s.in_c * random->between(1, 3) : s.in_c;
    if (kind == Shortcut::kNone) s.out_c = random->pick(kChannels);
    set_same_padding(&s);
    for (auto* vector : {&scale, &bias, &gamma, &beta, &zeta, &threshold}) {
      for (int c = 0; c < s.out_c; ++c) vector->push_back(real(random));
    }
    for (int c = 0; c < s.out_c; ++c) {
      int_threshold.push_back(random->chance(20) ? (random->chance(50) ? -1 : s.k_bits())
                                                 : random->below(s.k_bits() + 1));
    }
    for (int i = 0; i < s.in_h * s.in_w * s.in_c; ++i) values_in.push_back(real(random));
    for (int i = 0; i < s.out_h * s.out_w * s.out_c; ++i) {
      acc.push_back(random->below(s.k_bits() + 1));
      row.push_back(real(random));
    }
    bits.assign(size_t(s.out_h) * s.out_w * words_of(s.out_c), 0);
    int_bits = bits;
    size_t i = 0;
    for (int y = 0; y < s.out_h; ++y) {
      for (int x = 0; x < s.out_w; ++x) {
        for (int c = 0; c < s.out_c; ++c, ++i) {
          const size_t ch = size_t(c);
          const float v = value(y, x, c, i);
          if (random->chance(5)) threshold[ch] = v;
          expected.push_back(v);
          const size_t word = i / size_t(s.out_c) * words_of(s.out_c) + ch / 64;
          if (acc[i] > int_threshold[ch]) int_bits[word] |= uint64_t{1} << (c % 64);
        }
      }
    }
    for (i = 0; i < expected.size(); ++i) {
      const size_t c = i % size_t(s.out_c), pixel = i / size_t(s.out_c);
      if (expected[i] < threshold[c])
        bits[pixel * words_of(s.out_c) + c / 64] |= uint64_t{1} << (c % 64);
    }
  }

  float at(int y, int x, int c) const {
    return values_in[size_t((y * shape.in_w + x) * shape.in_c + c)];
  }

  float shortcut_value(int y, int x, int c) const {
    if (shortcut == Shortcut::kIdentity) return at(y, x, c);
    if (shortcut == Shortcut::kRepeat) return at(y, x, c % shape.in_c);
    const bool right = 2 * x + 1 < shape.in_w, below = 2 * y + 1 < shape.in_h;
    const float a = at(2 * y, 2 * x, c);
    if (!right && !below) return a;
    if (!below) return times(plus(a, at(2 * y, 2 * x + 1, c)), 0.5f);
    if (!right) return times(plus(a, at(2 * y + 1, 2 * x, c)), 0.5f);
    const float lower = plus(at(2 * y + 1, 2 * x, c), at(2 * y + 1, 2 * x + 1, c));
    return times(plus(plus(a, at(2 * y, 2 * x + 1, c)), lower), 0.25f);
  }

  float value(int y, int x, int c, size_t i) const {
    const size_t ch = size_t(c);
    float v = row[i];
    if (binary) v = plus(times(scale[ch], float(shape.k_bits() - 2 * acc[i])), bias[ch]);
    if (shortcut != Shortcut::kNone) v = plus(v, shortcut_value(y, x, c));
    if (!rprelu) return v;
    const float d = plus(v, -gamma[ch]);
    return plus(v > gamma[ch] ? d : times(beta[ch], d), zeta[ch]);
  }
};

template <class T>
const T* exact(Buffer<T>* buffer, const std::vector<T>& from) {
  std::memcpy(buffer->data(), from.data(), from.size() * sizeof(T));
  return buffer->data();
}

// Words that differ from `expected` inside, or from zero in the border.
int wrong_words(const ConvShape& s, int border, const Buffer<uint64_t>& framed,
                const std::vector<uint64_t>& expected) {
  const int words = words_of(s.out_c);
  int wrong = 0;
  size_t i = 0;
  for (int y = -border; y < s.out_h + border; ++y) {
    for (int x = -border; x < s.out_w + border; ++x) {
      const bool inside = y >= 0 && y < s.out_h && x >= 0 && x < s.out_w;
      for (int w = 0; w < words; ++w, ++i) {
        const uint64_t want = inside ? expected[size_t((y * s.out_w + x) * words + w)] : 0;
        wrong += framed[i] != want;
      }
    }
  }
  return wrong;
}

// Runs all rows with exact-size buffers; the number of wrong values and words.
int count_wrong(Isa isa, const Case& test, bool values, bool bits, int border) {
  const ConvShape& s = test.shape;
  const size_t channels = size_t(s.out_c), row = size_t(s.out_w) * channels;
  Buffer<float> scale(channels), bias(channels), gamma(channels), beta(channels), zeta(channels),
      threshold(channels), in(test.values_in.size()), out(values ? test.expected.size() : 0);
  Buffer<uint64_t> framed(size_t(s.out_h + 2 * border) * (s.out_w + 2 * border) *
                          words_of(s.out_c));
  EpilogueConstants constants = {};
  if (test.binary) constants.scale = exact(&scale, test.scale);
  if (test.binary) constants.bias = exact(&bias, test.bias);
  if (test.rprelu) {
    constants.gamma = exact(&gamma, test.gamma);
    constants.beta = exact(&beta, test.beta);
    constants.zeta = exact(&zeta, test.zeta);
  }
  if (bits) constants.threshold = exact(&threshold, test.threshold);
  zero_border(framed.data(), s.out_h, s.out_w, words_of(s.out_c), border);
  const EpilogueOutput output = {values ? out.data() : nullptr, bits ? framed.data() : nullptr,
                                 border};
  const float* shortcut = test.shortcut == Shortcut::kNone ? nullptr : exact(&in, test.values_in);
  for (int y = 0; y < s.out_h; ++y) {
    Buffer<int32_t> acc(row);
    Buffer<float> real(row);
    std::memcpy(acc.data(), &test.acc[size_t(y) * row], row * sizeof(int32_t));
    std::memcpy(real.data(), &test.row[size_t(y) * row], row * sizeof(float));
    if (test.binary) {
      epilogue_row(isa, s, test.shortcut, constants, acc.data(), shortcut, y, output);
    } else {
      float_epilogue_row(isa, s, constants, real.data(), y, output);
    }
  }
  int wrong = bits ? wrong_words(s, border, framed, test.bits) : 0;
  for (size_t i = 0; values && i < test.expected.size(); ++i) {
    wrong += std::memcmp(&out[i], &test.expected[i], sizeof(float)) != 0;
  }
  return wrong;
}

int count_wrong_thresholds(Isa isa, const Case& test, int border) {
  const ConvShape& s = test.shape;
  const size_t row = size_t(s.out_w) * s.out_c;
  Buffer<int32_t> threshold(size_t(s.out_c)), acc(row);
  Buffer<uint64_t> framed(size_t(s.out_h + 2 * border) * (s.out_w + 2 * border) *
                          words_of(s.out_c));
  zero_border(framed.data(), s.out_h, s.out_w, words_of(s.out_c), border);
  exact(&threshold, test.int_threshold);
  for (int y = 0; y < s.out_h; ++y) {
    std::memcpy(acc.data(), &test.acc[size_t(y) * row], row * sizeof(int32_t));
    threshold_row(isa, s, threshold.data(), acc.data(), y, framed.data(), border);
  }
  return wrong_words(s, border, framed, test.int_bits);
}

int run(int argc, char** argv) {
  const uint64_t seed = option(argc, argv, "--seed", 7);
  const uint64_t rounds = option(argc, argv, "--rounds", 40);
  int wrong = 0;
  for (Isa isa : kIsas) {
    if (!isa_tested(argc, argv, isa)) continue;
    Random random(seed);  // the same cases for every instruction set
    int cases = 0, isa_wrong = 0;
    for (uint64_t round = 0; round < rounds; ++round) {
      for (int kind = 0; kind < 10;
           ++kind) {  // 4 shortcuts of a binary row, or a float row; RPReLU or not
        const bool binary = kind < 8;
        const Case test(&random, binary ? kShortcuts[kind / 2] : Shortcut::kNone, binary,
                        kind % 2 != 0);
        const int border = random.below(4);
        isa_wrong += count_wrong(isa, test, true, false, border);
        isa_wrong += count_wrong(isa, test, false, true, border);
        isa_wrong += count_wrong(isa, test, true, true, border);
        isa_wrong += count_wrong_thresholds(isa, test, border);
        cases += 4;
      }
    }
    std::printf("epilogue_test: %-7s %d cases, %d wrong values or words, seed %llu\n",
                isa_name(isa), cases, isa_wrong, static_cast<unsigned long long>(seed));
    wrong += isa_wrong;
  }
  return wrong != 0;
}

}  // namespace
}  // namespace bnn

int main(int argc, char** argv) { return bnn::run(argc, argv); }
