// Property test of every binary convolution kernel: all int32 sums of random shapes against a
// FLOAT convolution of +-1 data, which knows neither bits nor words.
//
//   bconv2d_test [--shapes N] [--isa NAME] [--seed S]
//
// Each shape is run by every kernel that supports it, and the choice of each instruction set is
// recorded. A kernel of a supported instruction set that never ran, or was never chosen, fails the
// test.
#include "core/bconv2d/bconv2d.h"

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

struct Case {
  ConvShape shape;
  Buffer<uint64_t> input;    // packed, with its border
  Buffer<uint64_t> weights;  // canonical
  Buffer<int32_t> sums;      // the oracle's, all rows

  Case(const ConvShape& s, Random* random)
      : shape(s),
        input(size_t(s.padded_h()) * s.padded_w() * words_of(s.in_c)),
        weights(size_t(s.out_c) * s.kernel * s.kernel * words_of(s.in_c_per_group())),
        sums(size_t(s.out_h) * s.out_w * s.out_c) {
    std::vector<float> image(size_t(s.in_h) * s.in_w * s.in_c);
    std::vector<float> filters(size_t(s.out_c) * size_t(s.k_bits()));
    for (float& x : image) x = random->chance(50) ? 1.0f : -1.0f;
    for (float& x : filters) x = random->chance(50) ? 1.0f : -1.0f;
    bitpack(filters.data(), size_t(s.out_c) * s.kernel * s.kernel, s.in_c_per_group(),
            weights.data());
    std::memset(input.data(), 0, input.size() * sizeof(uint64_t));
    for (int y = 0; y < s.in_h; ++y) {
      const size_t row = size_t(y + s.border()) * s.padded_w() + s.border();
      bitpack(&image[size_t(y) * s.in_w * s.in_c], size_t(s.in_w), s.in_c,
              input.data() + row * words_of(s.in_c));
    }
    convolve(image, filters);
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

void run_kernel(const Bconv2dKernel& kernel, const Case& test, uint64_t shape_seed, Tally* tally) {
  const ConvShape& s = test.shape;
  Buffer<unsigned char> prepared(kernel.prepared_bytes(s));
  kernel.prepare(s, test.weights.data(), prepared.data());
  const size_t row = size_t(s.out_w) * s.out_c;
  long differing = 0;
  for (int y = 0; y < s.out_h; ++y) {
    Buffer<int32_t> acc(row);
    kernel.run_row(s, test.input.data(), prepared.data(), y, acc.data());
    for (size_t i = 0; i < row; ++i) differing += acc[i] != test.sums[size_t(y) * row + i];
  }
  if (differing != 0 && tally->differing == 0) {
    std::printf("  FIRST FAILURE %s: ", kernel.name);
    print_shape(s);
    std::printf(": %ld sums differ; replay: --seed 0x%llx --shapes 1\n", differing,
                static_cast<unsigned long long>(shape_seed));
  }
  ++tally->shapes;
  tally->sums += long(test.sums.size());
  tally->differing += differing;
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
        tallies[k].chosen += kernels[k] == chosen;
      }
      if (chosen->isa != isa || !chosen->supports(test.shape)) {
        std::printf("%s chooses %s for ", isa_name(isa), chosen->name);
        print_shape(test.shape);
        std::printf("\n");
        return 1;
      }
    }
  }
  bool good = !isas.empty();
  for (Isa isa : isas) good = report(isa, tallies, shapes >= 500) && good;
  for (size_t k = 0; k < count; ++k) good = good && find_bconv2d(kernels[k]->name) == kernels[k];
  good = good && find_bconv2d("no_such_kernel") == nullptr;
  std::printf("bconv2d_test: %s\n", good ? "ok" : "FAILED");
  return good ? 0 : 1;
}

}  // namespace
}  // namespace bnn

int main(int argc, char** argv) { return bnn::run(argc, argv); }
