// The bit rule: bit = (x < 0), least significant first, tail bits 0; and unpacking is its inverse.
#include "core/bitpack.h"

#include <cmath>
#include <initializer_list>

#include "tests/check.h"

namespace bnn {
namespace {

constexpr int kChannels[] = {1, 2, 3, 8, 31, 32, 33, 63, 64, 65, 127, 128, 129, 256, 257};
constexpr float kSpecial[] = {0.0f, -0.0f, 1e-45f, -1e-45f, INFINITY, -INFINITY, 3.0f, -3.0f};

int count_wrong(int channels, size_t rows, Random* random) {
  Buffer<float> x(rows * size_t(channels));
  Buffer<uint64_t> words(rows * size_t(words_of(channels)));
  Buffer<float> signs(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = random->chance(30) ? kSpecial[random->below(8)] : random->real();
  }
  bitpack(x.data(), rows, channels, words.data());
  bitunpack(words.data(), rows, channels, signs.data());
  int wrong = 0;
  for (size_t row = 0; row < rows; ++row) {
    for (int c = 0; c < 64 * words_of(channels); ++c) {
      const bool bit = words[row * size_t(words_of(channels)) + size_t(c / 64)] >> (c % 64) & 1;
      const size_t at = row * size_t(channels) + size_t(c);
      const bool negative = c < channels && x[at] < 0;
      wrong += bit != negative;
      if (c < channels) wrong += signs[at] != (negative ? -1.0f : 1.0f);
    }
  }
  return wrong;
}

int run(int argc, char** argv) {
  const uint64_t seed = option(argc, argv, "--seed", 1);
  Random random(seed);
  int wrong = 0, cases = 0;
  for (int channels : kChannels) {
    for (size_t rows : {1, 2, 7}) {
      wrong += count_wrong(channels, rows, &random);
      ++cases;
    }
  }
  std::printf("bitpack_test: %d cases, %d wrong bits, seed %llu\n", cases, wrong,
              static_cast<unsigned long long>(seed));
  return wrong != 0;
}

}  // namespace
}  // namespace bnn

int main(int argc, char** argv) { return bnn::run(argc, argv); }
