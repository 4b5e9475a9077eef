// The engine on invented networks: streaming gives what step by step on whole tensors gives, bit
// for bit, for every number of threads and every cut; every kernel gives the same result, a run
// allocates nothing, and no altered file does harm.
//   engine_test [--mutations N] [--chains N] [--seed S]
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "engine/crc32.h"
#include "engine/invent.h"
#include "engine/network.h"
#include "engine/tensors.h"
#include "tests/check.h"

#if defined(__has_feature)  // clang
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || \
    defined(__SANITIZE_THREAD__)  // they have a malloc of their own
#define BNN_COUNTS_MALLOC 0
#else
#define BNN_COUNTS_MALLOC 1
#endif

static long allocations = 0;

#if BNN_COUNTS_MALLOC
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) { return ++allocations, __libc_malloc(size); }
void* calloc(size_t count, size_t size) { return ++allocations, __libc_calloc(count, size); }
void* realloc(void* memory, size_t size) { return ++allocations, __libc_realloc(memory, size); }
void* aligned_alloc(size_t alignment, size_t size) {
  return ++allocations, __libc_memalign(alignment, size);
}
}
#endif

namespace bnn {
namespace {

using Bytes = std::vector<uint64_t>;  // 8-byte aligned

int passed = 0, failed = 0;

void check(bool condition, const char* what) {
  ++(condition ? passed : failed);
  if (!condition) std::printf("FAILED: %s\n", what);
}

Step convolution(StepKind kind, int in_size, int in_c, int out_c, int kernel, int stride,
                 int groups, Shortcut shortcut, bool rprelu, bool float_out, bool bits_out,
                 int border) {
  const int out = (in_size + stride - 1) / stride;
  return {kind,      {in_size, in_size, in_c, out, out, out_c, kernel, stride, groups, 0, 0},
          shortcut,  rprelu,
          float_out, bits_out,
          border};
}

Step plain(StepKind kind, int size, int in_c, int out_c) {
  return {kind, {size, size, in_c, 1, 1, out_c, 1, 1, 1, 0, 0}, Shortcut::kNone, false, true, false,
          0};
}

// Every kind, every shortcut, odd sizes, an integer threshold, a real 1x1.
std::vector<Step> every_step() {
  const StepKind real = StepKind::kConv2d, binary = StepKind::kBconv2d;
  return {
      convolution(real, 15, 3, 40, 3, 1, 1, Shortcut::kNone, false, true, true, 1),
      convolution(binary, 15, 40, 40, 3, 1, 5, Shortcut::kIdentity, true, true, true, 0),
      convolution(binary, 15, 40, 80, 1, 1, 1, Shortcut::kRepeat, true, true, true, 2),
      convolution(binary, 15, 80, 80, 5, 2, 80, Shortcut::kAvgPool, true, true, false, 0),
      convolution(real, 8, 80, 160, 1, 1, 4, Shortcut::kNone, true, false, true, 1),
      convolution(binary, 8, 160, 96, 3, 2, 2, Shortcut::kNone, false, false, true, 0),
      convolution(binary, 4, 96, 70, 1, 1, 1, Shortcut::kNone, false, true, false, 0),
      plain(StepKind::kGlobalAvgpool, 4, 70, 70),
      plain(StepKind::kLinear, 1, 70, 10),
  };
}

void set_crc(Bytes* file) {
  uint8_t* bytes = reinterpret_cast<uint8_t*>(file->data());
  const uint32_t crc = crc32(bytes + 64, file->size() * 8 - 64);
  std::memcpy(bytes + 24, &crc, sizeof crc);
}

// The .bnn file of these steps with invented constants (docs/bnn-format.md).
Bytes encode(const std::vector<Step>& steps, uint64_t seed) {
  Bytes file((64 + 128 * steps.size()) / 8);
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    const ConvShape& s = step.shape;
    const int32_t flags = step.rprelu | step.float_out << 1 | step.bits_out << 2;
    const int32_t fields[16] = {int32_t(step.kind),
                                s.in_h,
                                s.in_w,
                                s.in_c,
                                s.out_h,
                                s.out_w,
                                s.out_c,
                                s.kernel,
                                s.stride,
                                s.groups,
                                int32_t(step.shortcut),
                                flags,
                                step.border};
    InventedConstants invented;
    if (!invented.make(step, seed + i)) std::abort();
    uint64_t offsets[8] = {};
    for (int slot = 0; slot < kSlots; ++slot) {
      const size_t bytes = constant_bytes(step, slot);
      if (bytes == 0) continue;
      offsets[slot] = file.size() * 8;
      file.resize(file.size() + (bytes + 63) / 64 * 8);
      std::memcpy(reinterpret_cast<char*>(file.data()) + offsets[slot],
                  invented.constants.slot[slot], bytes);
    }
    std::memcpy(file.data() + 8 + 16 * i, fields, sizeof fields);
    std::memcpy(file.data() + 8 + 16 * i + 8, offsets, sizeof offsets);
  }
  const uint32_t header[8] = {0x314E4E42, 1, uint32_t(file.size() * 8), 0, uint32_t(steps.size()),
                              1};
  std::memcpy(file.data(), header, sizeof header);
  set_crc(&file);
  return file;
}

std::unique_ptr<Network> load(const Bytes& file, const LoadOptions& options, Status* status) {
  return Network::load(file.data(), file.size() * 8, options, status);
}

std::unique_ptr<Network> load(const Bytes& file, const char* kernel, Status* status) {
  LoadOptions options;
  options.kernel = kernel;
  return load(file, options, status);
}

std::vector<float> run(Network* network) {
  std::vector<float> image(network->image_values()), result(network->result_values());
  invent_values(7, image.size(), image.data());
  network->run(image.data(), result.data());
  return result;
}

// The same by whole tensors, one step after another.
std::vector<float> run_stepwise(const Network& network) {
  Tensors before, out;
  bool good = before.make_input(network.step(0).step, network.step(0).step.shape.in_h);
  invent_values(7, network.image_values(), before.rows().values.base);
  for (int i = 0; i < network.steps(); ++i) {
    const Step& step = network.step(i).step;
    OwnScratch scratch;
    good = good && out.make_output(step) && scratch.make(step);
    if (!good) std::abort();
    run_step(network.step(i), before.as_input(), out.rows(), scratch.get());
    before = std::move(out);
  }
  const float* result = before.rows().values.base;
  return {result, result + network.result_values()};
}

// Convolutions of odd sizes, strides, kernels and shortcuts, most of them binary, and a tail.
std::vector<Step> random_chain(Random* random) {
  constexpr int kChannels[] = {3, 16, 20, 32, 48, 64, 65, 96, 128};
  constexpr int kKernels[] = {1, 1, 3, 3, 5};
  std::vector<Step> steps;
  ConvShape s = {};
  s.in_h = random->between(1, 24);
  s.in_w = random->between(1, 12);
  s.in_c = 3;
  const int convolutions = random->between(1, 9);
  for (int i = 0; i < convolutions; ++i) {
    Step step = {};
    step.kind = i == 0 || random->chance(20) ? StepKind::kConv2d : StepKind::kBconv2d;
    s.kernel = random->pick(kKernels);
    s.stride = random->chance(25) ? 2 : 1;
    s.groups = 1;
    s.out_c = random->chance(60) && i ? s.in_c : random->pick(kChannels);
    if (step.kind == StepKind::kBconv2d && random->chance(80)) {
      if (s.stride == 2) {
        s.out_c = s.in_c;
        step.shortcut = Shortcut::kAvgPool;
      } else if (random->chance(30)) {
        s.out_c = s.in_c * random->between(1, 2);
        step.shortcut = Shortcut::kRepeat;
      } else {
        s.out_c = s.in_c;
        step.shortcut = Shortcut::kIdentity;
      }
    }
    if (s.in_c == s.out_c && random->chance(30)) s.groups = s.in_c;
    set_same_padding(&s);
    step.shape = s;
    step.rprelu = random->chance(60);
    step.float_out = step.bits_out = true;
    steps.push_back(step);
    s.in_h = s.out_h;
    s.in_w = s.out_w;
    s.in_c = s.out_c;
  }
  for (int i = 0; i < convolutions; ++i) {  // what the next one reads, and sometimes more
    const bool last = i + 1 == convolutions;
    steps[i].bits_out = !last && steps[i + 1].reads_bits();
    steps[i].border = steps[i].bits_out ? steps[i + 1].shape.border() : 0;
    if (!last && !steps[i + 1].reads_values()) steps[i].float_out = random->chance(30);
  }
  if (random->chance(50)) {
    Step pool = plain(StepKind::kGlobalAvgpool, s.in_h, s.in_c, s.in_c);
    pool.shape.in_w = s.in_w;
    steps.push_back(pool);
    steps.push_back(plain(StepKind::kLinear, 1, s.in_c, random->between(1, 70)));
  }
  return steps;
}

void test_streaming(const std::vector<Step>& steps, uint64_t seed, long* segments) {
  const Bytes file = encode(steps, seed);
  Status status;
  const auto reference = load(file, nullptr, &status);
  if (!reference) return check(false, status.message);
  const std::vector<float> expected = run_stepwise(*reference);
  for (size_t constant_bytes :
       {size_t(0), size_t(20'000), LoadOptions().limits.constant_bytes, ~size_t(0)}) {
    for (int threads = 1; threads <= 4; ++threads) {
      LoadOptions options;
      options.threads = threads;
      options.limits = {constant_bytes, 100};
      const auto network = load(file, options, &status);
      if (!network) return check(false, status.message);
      *segments += network->segments();
      for (int repeat = 0; repeat < 2; ++repeat) {  // nothing is left behind
        const std::vector<float> result = run(network.get());
        check(std::memcmp(result.data(), expected.data(), expected.size() * sizeof(float)) == 0,
              "streaming equals step by step");
      }
    }
  }
}

void test_chains(int count, uint64_t seed) {
  Random random(seed);
  long segments = 0, steps = 0;
  for (int i = 0; i < count; ++i) {
    const std::vector<Step> chain = random_chain(&random);
    steps += long(chain.size());
    test_streaming(chain, seed + i, &segments);
  }
  std::printf("%d chains of %ld steps, run in %ld segments, 4 cuts x 4 threads, seed %llu\n", count,
              steps, segments, static_cast<unsigned long long>(seed));
}

// The fastest of many: what is left when nothing else runs.
void test_thread_pool() {
  Status status;
  for (int threads = 1; threads <= 4; ++threads) {
    const auto pool = ThreadPool::make(threads, -1, &status);
    if (!pool) return check(false, status.message);
    std::vector<int> calls(threads);
    const auto task = [](void* context, int thread) {
      ++(*static_cast<std::vector<int>*>(context))[thread];
    };
    constexpr int kSections = 2000;
    int64_t best_ns = INT64_MAX;
    for (int i = 0; i < kSections; ++i) {
      timespec start{}, end{};
      clock_gettime(CLOCK_MONOTONIC, &start);
      pool->run(task, &calls);
      clock_gettime(CLOCK_MONOTONIC, &end);
      best_ns = std::min<int64_t>(
          best_ns, (end.tv_sec - start.tv_sec) * 1'000'000'000 + end.tv_nsec - start.tv_nsec);
      if (i % 500 == 0) usleep(1000);  // the workers fall asleep
    }
    bool all = true;
    for (int made : calls) all = all && made == kSections;
    check(all, "every thread runs every section once");
    std::printf("a section of %d threads costs %lld ns\n", threads,
                static_cast<long long>(best_ns));
  }
  const auto bound = ThreadPool::make(2, 4000, &status);
  check(!bound && status.code == Code::kUnsupported, "a core that is not there is an error");
}

void test_kernels_agree(const Bytes& file) {
  Status status;
  const auto scalar = load(file, "scalar", &status);
  check(scalar != nullptr, status.message);
  if (!scalar) return;
  const std::vector<float> expected = run(scalar.get());
  for (Isa isa : kIsas) {
    Status why;
    const auto network = load(file, isa_name(isa), &why);
    if (!isa_supported(isa)) {
      std::printf("skipped: this CPU has no %s\n", isa_name(isa));
      check(!network && why.code == Code::kUnsupported, "an unsupported ISA is an error");
      continue;
    }
    check(network != nullptr, why.message);
    if (!network) continue;
    const std::vector<float> result = run(network.get());
    float worst = 0;
    for (size_t i = 0; i < result.size(); ++i)
      worst = std::fmax(worst, std::fabs(result[i] - expected[i]));
    check(worst < 0.05f,
          "every ISA gives the scalar result");  // a flipped sign would move it by more
  }
}

void test_no_allocation(const Bytes& file) {
  Status status;
  LoadOptions options;
  options.threads = 2;
  const auto network = load(file, options, &status);
  if (!network) return check(false, status.message);
  std::vector<float> image(network->image_values()), result(network->result_values());
  const long before = allocations;
  for (int i = 0; i < 3; ++i) network->run(image.data(), result.data());
  check(allocations == before, "a run allocates nothing");
  check(!BNN_COUNTS_MALLOC || before > 0, "allocations are counted");
}

void test_names(const Bytes& file) {
  Status unknown, shape;
  check(!load(file, "bconv2d_no_such", &unknown) && unknown.code == Code::kUnknownKernel,
        "an unknown kernel is an error");
  LoadOptions options;
  options.threads = kMaxThreads + 1;
  check(!load(file, options, &unknown) && unknown.code == Code::kUnsupported,
        "too many threads are an error");
  setenv("BNN_KERNEL", "no-such", 1);
  check(!load(file, nullptr, &unknown) && unknown.code == Code::kUnknownKernel,
        "an unknown BNN_KERNEL is an error");
  setenv("BNN_KERNEL", "scalar", 1);
  const auto network = load(file, nullptr, &shape);
  check(network && network->step(1).kernel->isa == Isa::kScalar, "BNN_KERNEL forces");
  unsetenv("BNN_KERNEL");
}

// Rings take the place of whole tensors.
void test_arena() {
  constexpr int kBlocks = 8, kSize = 64, kChannels = 64;
  std::vector<Step> steps = {convolution(StepKind::kConv2d, kSize, 3, kChannels, 3, 1, 1,
                                         Shortcut::kNone, false, true, true, 1)};
  for (int i = 0; i < kBlocks; ++i) {
    const bool last = i + 1 == kBlocks;
    steps.push_back(convolution(StepKind::kBconv2d, kSize, kChannels, kChannels, 3, 1, 1,
                                Shortcut::kIdentity, true, true, !last, last ? 0 : 1));
  }
  steps.push_back(plain(StepKind::kGlobalAvgpool, kSize, kChannels, kChannels));
  Status status;
  const auto network = load(encode(steps, 1), nullptr, &status);
  if (!network) return check(false, status.message);
  const size_t tensor = size_t(kSize) * kSize * kChannels * sizeof(float);
  const size_t rows = 3 * kSize * kChannels * (sizeof(float) + 1) * kBlocks;
  check(network->arena_bytes() < tensor + rows, "one whole tensor and a few rows of each other");
  LoadOptions threads;
  threads.threads = 4;
  const auto parallel = load(encode(steps, 1), threads, &status);
  check(parallel && parallel->segments() > network->segments(),
        "threads cut where bands would overlap too much");
}

void test_truncated(const Bytes& file) {
  for (size_t size = 0; size < file.size() * 8; size += size < 1400 ? 4 : 64) {
    // an exact copy, so that ASan sees a read past the end
    const std::unique_ptr<uint64_t[]> copy(new uint64_t[size / 8 + 1]);
    std::memcpy(copy.get(), file.data(), size);
    Status status;
    BnnFile view;
    if (view.parse(copy.get(), size, &status)) return check(false, "a truncated file is refused");
  }
  check(true, "");
}

// Altered bytes with a good checksum: refused, or a network that runs without harm.
void test_mutations(const Bytes& file, size_t records, int mutations) {
  SplitMix64 random{42};
  int accepted = 0;
  for (int i = 0; i < mutations; ++i) {
    Bytes copy = file;
    uint8_t* bytes = reinterpret_cast<uint8_t*>(copy.data());
    for (uint64_t n = 1 + random.below(3); n > 0; --n) {
      const size_t header = 64 + 128 * records;
      const size_t at = random.below(8) ? random.below(header) : random.below(copy.size() * 8);
      const uint64_t how = random.below(4);
      if (how == 0) bytes[at] ^= uint8_t(1u << random.below(8));
      if (how == 1) bytes[at] = uint8_t(random.next());
      if (how == 2) bytes[at] = uint8_t(bytes[at] + 1);
      if (how == 3) std::memset(bytes + at / 4 * 4, random.below(2) ? 0xFF : 0x7F, 4);
    }
    set_crc(&copy);
    Status status;
    const auto network = load(copy, nullptr, &status);
    accepted += network != nullptr;
    if (network) run(network.get());
    if (!network && !*status.message) return check(false, "a refusal has a message");
  }
  std::printf("%d of %d altered files are still networks\n", accepted, mutations);
  check(true, "");
}

void test_crc() {
  check(crc32(reinterpret_cast<const uint8_t*>("123456789"), 9) == 0xCBF43926u,
        "CRC-32 of the check string");
}

}  // namespace
}  // namespace bnn

int main(int argc, char** argv) {
  using namespace bnn;
  const uint64_t seed = option(argc, argv, "--seed", 1);
  const std::vector<Step> steps = every_step();
  const Bytes file = encode(steps, seed);
  test_crc();
  test_kernels_agree(file);
  test_no_allocation(file);
  test_names(file);
  test_arena();
  test_thread_pool();
  test_chains(int(option(argc, argv, "--chains", 30)), seed);
  test_truncated(file);
  test_mutations(file, steps.size(), int(option(argc, argv, "--mutations", 2000)));
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed ? 1 : 0;
}
