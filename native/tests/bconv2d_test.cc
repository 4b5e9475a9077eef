// Property test of every binary convolution kernel, fused epilogues included: random shapes against
// a FLOAT convolution of +-1 data, which knows neither bits nor words.
//
//   sums        scale 1, bias 0, floats out: y is the dot product itself
//   floats      a random epilogue (epilogue.h): shortcut, RPReLU, floats and/or bits, bit for bit
//   thresholds  the integer epilogue, thresholds that nothing or everything passes included
//   long        a window of more than 2^23 bits, all of them different
//
//   bconv2d_test [--shapes N] [--isa NAME] [--seed S]
//
// Each shape is run by every kernel that supports it, and the choice of each instruction set is
// recorded. A kernel of a supported instruction set that never ran, or was never chosen, fails the
// test.
#include "core/bconv2d/bconv2d.h"

#include <cmath>
#include <memory>
#include <vector>

#include "core/bitpack.h"
#include "tests/check.h"

namespace bnn {
namespace {

constexpr int kChannels[] = {1,   2,   3,   5,   7,   8,   12,  16,  24,  31,  32,  33,  40,
                             48,  63,  64,  65,  72,  80,  96,  120, 127, 128, 129, 130, 136,
                             160, 192, 200, 256, 264, 320, 384, 448, 512, 576, 640, 1024};
constexpr int kPerGroup[] = {1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64, 96, 100, 128, 192};
constexpr int kGroups[] = {2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 24, 32, 48, 64};
constexpr int kWholeGroup[] = {1, 2, 4, 8, 16, 32, 64};
constexpr double kMostMacs = 3e6;

double macs(const ConvShape& s) { return double(s.k_bits()) * s.out_c * s.out_h * s.out_w; }

// A fifth each: dense, depthwise, groups that divide a word, groups of whole words, anything.
ConvShape random_shape(Random* random) {
  for (;;) {
    ConvShape s = {};
    s.kernel = random->chance(50) ? 3 : 1 + 2 * random->below(4);
    s.stride = 1 + int(random->chance(30));
    s.in_h = random->between(1, 9);
    s.in_w = random->chance(85) ? random->between(1, 9) : random->between(10, 40);
    s.groups = 1;
    switch (random->below(5)) {
      case 0:
        s.in_c = random->pick(kChannels);
        s.out_c = random->pick(kChannels);
        break;
      case 1:
        s.in_c = s.out_c = s.groups = random->pick(kChannels);
        if (random->chance(20)) s.out_c *= random->between(2, 9);
        break;
      case 2: {
        const int per_group = random->pick(kWholeGroup);
        s.in_c =
            random->chance(70) ? 64 * random->between(1, 17) : per_group * random->between(1, 70);
        s.groups = s.in_c / per_group;
        s.out_c = s.in_c;
        if (random->chance(20)) s.out_c = s.groups * random->pick(kPerGroup);
        break;
      }
      case 3:
        s.groups = random->pick(kGroups);
        s.in_c = s.groups * 64 * random->between(1, 2);
        s.out_c = s.groups * random->pick(kPerGroup);
        break;
      default:
        s.groups = random->pick(kGroups);
        s.in_c = s.groups * random->pick(kPerGroup);
        s.out_c = s.groups * random->pick(kPerGroup);
    }
    set_same_padding(&s);
    if (macs(s) <= kMostMacs) return s;
  }
}

constexpr int kOutside[] = {INT32_MIN, -1000, -2, 1 << 20, INT32_MAX};  // thresholds
constexpr float kSpecial[] = {0.0f, -0.0f, 1.0f, -1.0f};

// A random epilogue; all constants are there, which of them are used differs.
struct Epilogue {
  bool rprelu, values, bits, beta_at_most_one;
  int shortcut_channels;  // 0: none
  Buffer<float> scale, bias, beta, zeta, threshold, shortcut;
  std::vector<float> expected;  // [out_h, out_w, out_c]

  static float real(Random* random) {
    return random->chance(15) ? kSpecial[random->below(4)] : random->real();
  }

  Epilogue(const ConvShape& s, Random* random)
      : rprelu(random->chance(60)),
        values(random->chance(60)),
        bits(!values || random->chance(60)),
        beta_at_most_one(random->chance(70)),
        shortcut_channels(random->chance(70) ? s.out_c : 0),
        scale(size_t(padded_channels(s.out_c))),
        bias(scale.size()),
        beta(scale.size()),
        zeta(scale.size()),
        threshold(scale.size()),
        shortcut(size_t(s.out_h) * s.out_w * s.out_c) {
    if (shortcut_channels && s.out_c % 32 == 0 && random->chance(40)) shortcut_channels /= 2;
    for (Buffer<float>* constants : {&scale, &bias, &beta, &zeta, &threshold}) {
      for (int o = 0; o < padded_channels(s.out_c); ++o) {
        (*constants)[size_t(o)] = o < s.out_c ? real(random) : 0.0f;
      }
    }
    for (size_t o = 0; beta_at_most_one && o < beta.size(); ++o) beta[o] = std::fmin(beta[o], 1.0f);
    for (size_t i = 0; i < shortcut.size(); ++i) shortcut[i] = real(random);
  }

  EpilogueConstants constants() const {
    return {scale.data(),
            bias.data(),
            rprelu ? beta.data() : nullptr,
            rprelu ? zeta.data() : nullptr,
            bits ? threshold.data() : nullptr,
            beta_at_most_one};
  }

  // Every y from the sums; some thresholds are then set to a y, for the border of the comparison.
  void expect(const ConvShape& s, const int32_t* sums, Random* random) {
    const size_t pixels = size_t(s.out_h) * s.out_w, channels = size_t(s.out_c);
    expected.resize(pixels * channels);
    for (size_t i = 0; i < expected.size(); ++i) {
      const size_t o = i % channels, pixel = i / channels;
      float y = std::fma(scale[o], float(s.k_bits() - 2 * sums[i]), bias[o]);
      const size_t from = size_t(shortcut_channels);
      if (from) y = y + shortcut[pixel * from + o % from];
      if (rprelu) y = (y > 0.0f ? y : beta[o] * y) + zeta[o];
      if (random->chance(2)) threshold[o] = y;
      expected[i] = y;
    }
  }
};

struct Case {
  ConvShape shape;
  Buffer<uint64_t> input;          // [in_h, padded_w, words] packed rows
  Buffer<uint64_t> zeros;          // a row above or below the image
  Buffer<uint64_t> weights;        // canonical
  std::vector<int32_t> sums;       // the oracle's, all rows
  std::vector<int32_t> threshold;  // of the integer epilogue
  Epilogue epilogue;

  Case(const ConvShape& s, Random* random)
      : shape(s),
        input(size_t(s.in_h) * s.padded_w() * words_of(s.in_c)),
        zeros(size_t(s.padded_w()) * words_of(s.in_c)),
        weights(size_t(s.out_c) * s.kernel * s.kernel * words_of(s.in_c_per_group())),
        sums(size_t(s.out_h) * s.out_w * s.out_c),
        epilogue(s, random) {
    std::vector<float> image(size_t(s.in_h) * s.in_w * s.in_c);
    std::vector<float> filters(size_t(s.out_c) * size_t(s.k_bits()));
    for (float& x : image) x = random->chance(50) ? 1.0f : -1.0f;
    for (float& x : filters) x = random->chance(50) ? 1.0f : -1.0f;
    bitpack(filters.data(), size_t(s.out_c) * s.kernel * s.kernel, s.in_c_per_group(),
            weights.data());
    for (Buffer<uint64_t>* zeroed : {&input, &zeros}) {
      for (size_t i = 0; i < zeroed->size(); ++i) (*zeroed)[i] = 0;
    }
    for (int y = 0; y < s.in_h; ++y) {
      const size_t row = size_t(y) * s.padded_w() + s.border();
      bitpack(&image[size_t(y) * s.in_w * s.in_c], size_t(s.in_w), s.in_c,
              input.data() + row * words_of(s.in_c));
    }
    convolve(image, filters);
    for (int o = 0; o < s.out_c; ++o) {
      const int kind = random->below(12);
      threshold.push_back(kind == 0    ? -1
                          : kind == 1  ? s.k_bits()
                          : kind == 10 ? random->pick(kOutside)
                          : kind == 11 ? s.k_bits() + random->between(1, 3)
                          : kind < 6 ? sums[size_t(random->below(s.out_h * s.out_w) * s.out_c + o)]
                                     : random->below(s.k_bits() + 1));
    }
    epilogue.expect(s, sums.data(), random);
  }

  // The input rows of the output rows y .. y + count - 1.
  std::vector<const uint64_t*> rows(int y, int count = 1) const {
    std::vector<const uint64_t*> in;
    for (int i = 0; i < (count - 1) * shape.stride + shape.kernel; ++i) {
      const int at = shape.window_row(y) + i;
      const bool inside = at >= 0 && at < shape.in_h;
      const uint64_t* row = inside ? input.data() + size_t(at) * zeros.size() : zeros.data();
      in.push_back(row + shape.window_word());
    }
    return in;
  }

  void convolve(const std::vector<float>& image, const std::vector<float>& filters) {
    const ConvShape& s = shape;
    int32_t* sum = sums.data();
    for (int y = 0; y < s.out_h; ++y) {
      for (int x = 0; x < s.out_w; ++x) {
        for (int o = 0; o < s.out_c; ++o) {
          const float* filter = &filters[size_t(o) * size_t(s.k_bits())];
          const int first = o / s.out_c_per_group() * s.in_c_per_group();
          float dot = 0;
          for (int ky = 0; ky < s.kernel; ++ky) {
            for (int kx = 0; kx < s.kernel; ++kx, filter += s.in_c_per_group()) {
              const int in_y = y * s.stride + ky - s.pad_top, in_x = x * s.stride + kx - s.pad_left;
              const bool inside = in_y >= 0 && in_y < s.in_h && in_x >= 0 && in_x < s.in_w;
              const size_t at = inside ? (size_t(in_y) * s.in_w + in_x) * s.in_c + first : 0;
              for (int c = 0; c < s.in_c_per_group(); ++c) {
                dot += filter[c] * (inside ? image[at + size_t(c)] : 1.0f);
              }
            }
          }
          *sum++ = (s.k_bits() - int32_t(dot)) / 2;  // dot = K - 2 * sum
        }
      }
    }
  }
};

struct Tally {
  long shapes = 0, chosen = 0, sums = 0, differing = 0;
};

// One output row in buffers of the exact size, where a kernel may leave nothing unwritten.
struct Row {
  Buffer<float> values;
  Buffer<uint64_t> bits;

  explicit Row(const ConvShape& s)
      : values(size_t(s.out_w) * s.out_c), bits(size_t(s.out_w) * words_of(s.out_c)) {
    if (s.out_c % 64 != 0) std::memset(bits.data(), 0, bits.size() * sizeof(uint64_t));
  }
};

// bits: of one output row.
template <class Bit>
long wrong_bits(const ConvShape& s, const uint64_t* bits, const Bit& bit) {
  long wrong = 0;
  for (int x = 0; x < s.out_w; ++x) {
    for (int w = 0; w < words_of(s.out_c); ++w) {
      uint64_t expected = 0;
      for (int o = 64 * w; o < s.out_c && o < 64 * w + 64; ++o) {
        expected |= uint64_t(bit(size_t(x) * s.out_c + o, o)) << (o % 64);
      }
      wrong += bits[size_t(x) * words_of(s.out_c) + w] != expected;
    }
  }
  return wrong;
}

long wrong_in_row(const Bconv2dKernel& kernel, const Case& test, const void* prepared, int y) {
  const ConvShape& s = test.shape;
  const size_t channels = size_t(s.out_c), size = size_t(s.out_w) * channels, at = size * y;
  const std::vector<const uint64_t*> in = test.rows(y);
  long wrong = 0;

  Buffer<float> ones(size_t(padded_channels(s.out_c))), zeros(ones.size());
  for (size_t o = 0; o < ones.size(); ++o) ones[o] = 1.0f, zeros[o] = 0.0f;
  const Row plain(s);
  kernel.run_row(s, prepared, {ones.data(), zeros.data(), nullptr, nullptr, nullptr, false},
                 {in.data(), {nullptr, 0}, {const_cast<float*>(plain.values.data()), nullptr}});
  for (size_t i = 0; i < size; ++i) {
    wrong += plain.values[i] != float(s.k_bits() - 2 * test.sums[at + i]);
  }

  const Epilogue& e = test.epilogue;
  Row full(s);
  const size_t shortcut_row = size_t(s.out_w) * size_t(e.shortcut_channels);
  Buffer<float> shortcut(shortcut_row);
  std::memcpy(shortcut.data(), e.shortcut.data() + shortcut_row * y, shortcut_row * sizeof(float));
  kernel.run_row(s, prepared, e.constants(),
                 {in.data(),
                  {e.shortcut_channels ? shortcut.data() : nullptr, e.shortcut_channels},
                  {e.values ? full.values.data() : nullptr, e.bits ? full.bits.data() : nullptr}});
  for (size_t i = 0; e.values && i < size; ++i) {
    wrong += std::memcmp(&full.values[i], &e.expected[at + i], sizeof(float)) != 0;
  }
  if (e.bits) {
    wrong += wrong_bits(s, full.bits.data(), [&](size_t i, int o) {
      return e.expected[at + i] < e.threshold[size_t(o)];
    });
  }
  return wrong;
}

// The integer epilogue, up to three rows a call, with words between the rows that stay as they are.
long wrong_in_thresholds(const Bconv2dKernel& kernel, const Case& test, const void* prepared) {
  constexpr int kTogether = 3, kGap = 2;
  const ConvShape& s = test.shape;
  const size_t row_words = size_t(s.out_w) * words_of(s.out_c), step = row_words + kGap;
  long wrong = 0;
  for (int y = 0; y < s.out_h; y += kTogether) {
    const int count = s.out_h - y < kTogether ? s.out_h - y : kTogether;
    Buffer<uint64_t> bits(size_t(count - 1) * step + row_words);
    const uint64_t untouched = bits[0];
    for (int i = 0; s.out_c % 64 != 0 && i < count; ++i) {
      std::memset(bits.data() + i * step, 0, row_words * sizeof(uint64_t));
    }
    const std::vector<const uint64_t*> in = test.rows(y, count);
    kernel.run_threshold_rows(s, prepared, {in.data(), s.stride, bits.data(), step, count});
    for (int i = 0; i < count; ++i) {
      const size_t at = size_t(s.out_w) * s.out_c * size_t(y + i);
      wrong += wrong_bits(s, bits.data() + i * step, [&](size_t j, int o) {
        return test.sums[at + j] > test.threshold[size_t(o)];
      });
      for (int gap = 0; i + 1 < count && gap < kGap; ++gap) {
        wrong += bits[i * step + row_words + gap] != untouched;
      }
    }
  }
  return wrong;
}

void run_kernel(const Bconv2dKernel& kernel, const Case& test, uint64_t shape_seed, Tally* tally) {
  const ConvShape& s = test.shape;
  Buffer<unsigned char> prepared(kernel.prepared_bytes(s));
  kernel.prepare(s, test.weights.data(), test.threshold.data(), prepared.data());
  long differing = wrong_in_thresholds(kernel, test, prepared.data());
  for (int y = 0; y < s.out_h; ++y) differing += wrong_in_row(kernel, test, prepared.data(), y);
  if (differing != 0 && tally->differing == 0) {
    std::printf("  FIRST FAILURE %s: ", kernel.name);
    print_shape(s);
    std::printf(": %ld sums, floats or words differ; replay: --seed 0x%llx --shapes 1\n", differing,
                static_cast<unsigned long long>(shape_seed));
  }
  ++tally->shapes;
  tally->sums += long(test.sums.size());
  tally->differing += differing;
}

// A window of 12.5 million bits that all differ, with the epilogue of an inner layer: the sum does
// not fit the mantissa of a float that has other things to hold.
long wrong_in_long_window(const Bconv2dKernel& kernel) {
  ConvShape s = {1, 1, 192, 1, 1, 16, 255, 1, 1, 127, 127};
  if (!kernel.supports(s)) return 0;
  const size_t words = size_t(words_of(s.in_c));
  Buffer<uint64_t> row(size_t(s.padded_w()) * words), filters(size_t(16 * 255 * 255) * words);
  std::memset(row.data(), 0, row.size() * sizeof(uint64_t));
  std::memset(filters.data(), 0xff, filters.size() * sizeof(uint64_t));
  const std::vector<const uint64_t*> in(size_t(s.kernel), row.data());
  Buffer<unsigned char> prepared(kernel.prepared_bytes(s));
  kernel.prepare(s, filters.data(), nullptr, prepared.data());
  Buffer<float> ones(size_t(padded_channels(s.out_c))), zeros(ones.size()), shortcut(16);
  for (size_t o = 0; o < ones.size(); ++o) ones[o] = 1.0f, zeros[o] = 0.0f;
  for (size_t o = 0; o < shortcut.size(); ++o) shortcut[o] = 0.0f;
  Row got(s);
  kernel.run_row(s, prepared.data(),
                 {ones.data(), zeros.data(), ones.data(), zeros.data(), zeros.data(), true},
                 {in.data(), {shortcut.data(), s.out_c}, {got.values.data(), got.bits.data()}});
  long wrong = got.bits[0] != 0xffff;
  for (size_t o = 0; o < 16; ++o) wrong += got.values[o] != -float(s.k_bits());
  return wrong;
}

// One line per instruction set and per kernel; false on a difference or an idle kernel.
bool report(Isa isa, const std::vector<Tally>& tallies, bool expect_all) {
  size_t count;
  const Bconv2dKernel* const* kernels = bconv2d_kernels(&count);
  Tally total;
  int of_isa = 0;
  bool good = true;
  for (size_t i = 0; i < count; ++i) {
    if (kernels[i]->isa != isa) continue;
    ++of_isa;
    total.shapes += tallies[i].shapes;
    total.sums += tallies[i].sums;
    total.differing += tallies[i].differing;
    if (expect_all && (tallies[i].shapes == 0 || tallies[i].chosen == 0)) good = false;
  }
  if (total.differing != 0) good = false;
  std::printf("%-7s %d kernels, %ld runs, %ld sums compared, %ld differing: %s\n", isa_name(isa),
              of_isa, total.shapes, total.sums, total.differing, good ? "ok" : "FAILED");
  for (size_t i = 0; i < count; ++i) {
    if (kernels[i]->isa != isa) continue;
    std::printf("          %-28s supports %5ld shapes, chosen for %5ld\n", kernels[i]->name,
                tallies[i].shapes, tallies[i].chosen);
  }
  return good;
}

int run(int argc, char** argv) {
  const uint64_t shapes = option(argc, argv, "--shapes", 2000);
  const uint64_t seed = option(argc, argv, "--seed", 20200614);
  std::printf("bconv2d_test: %llu shapes, seed %llu\n", static_cast<unsigned long long>(shapes),
              static_cast<unsigned long long>(seed));
  std::vector<Isa> isas;
  for (Isa isa : kIsas) {
    if (isa_tested(argc, argv, isa)) isas.push_back(isa);
  }
  size_t count;
  const Bconv2dKernel* const* kernels = bconv2d_kernels(&count);
  std::vector<Tally> tallies(count);
  Random seeds(seed);
  for (uint64_t i = 0; i < shapes; ++i) {
    const uint64_t shape_seed = shapes == 1 ? seed : seeds.next();
    Random random(shape_seed);
    const Case test(random_shape(&random), &random);
    for (Isa isa : isas) {
      const Bconv2dKernel* chosen = select_bconv2d(test.shape, isa);
      for (size_t k = 0; k < count; ++k) {
        if (kernels[k]->isa != isa || !kernels[k]->supports(test.shape)) continue;
        run_kernel(*kernels[k], test, shape_seed, &tallies[k]);
        tallies[k].chosen += std::strcmp(kernels[k]->method, chosen->method) == 0;
      }
      if (!isa_includes(isa, chosen->isa) || !chosen->supports(test.shape)) {
        std::printf("%s chooses %s for ", isa_name(isa), chosen->name);
        print_shape(test.shape);
        std::printf("\n");
        return 1;
      }
    }
  }
  bool good = !isas.empty();
  for (size_t k = 0; k < count; ++k) {
    for (Isa isa : isas) {
      if (kernels[k]->isa != isa) continue;
      if (const long wrong = wrong_in_long_window(*kernels[k])) {
        std::printf("%s: %ld of 17 results of a long window differ\n", kernels[k]->name, wrong);
        good = false;
      }
    }
  }
  for (Isa isa : isas) good = report(isa, tallies, shapes >= 500) && good;
  for (size_t k = 0; k < count; ++k) good = good && find_bconv2d(kernels[k]->name) == kernels[k];
  good = good && find_bconv2d("no_such_kernel") == nullptr;
  std::printf("bconv2d_test: %s\n", good ? "ok" : "FAILED");
  return good ? 0 : 1;
}

}  // namespace
}  // namespace bnn

int main(int argc, char** argv) { return bnn::run(argc, argv); }
