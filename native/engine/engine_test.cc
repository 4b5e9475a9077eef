// The engine on invented networks: streaming gives what step by step on whole tensors gives, bit
// for bit, for every number of threads and every cut; every kernel gives the same result, a run
// allocates nothing, and no altered file does harm.
//   engine_test [--mutations N] [--chains N] [--seed S]
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "engine/arena.h"
#include "engine/clock.h"
#include "engine/places.h"
#include "engine/test_network.h"
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

// Every step has a share of the time of the runs since counting began; results are as before.
void test_counted_time(const Bytes& file) {
  for (int threads : {1, 2}) {
    Status status;
    LoadOptions options;
    options.threads = threads;
    const auto network = load(file, options, &status);
    if (!network) return check(false, status.message);
    const std::vector<float> expected = run(network.get());
    check(network->step_ns(0) == 0, "no time is counted unasked");
    for (int repeat = 0; repeat < 2; ++repeat) {  // each time from 0
      if (!network->count_time()) return check(false, "no memory");
      const int64_t start_ns = clock_ns();
      const bool same = run(network.get()) == expected;
      const int64_t total_ns = (clock_ns() - start_ns) * threads;
      int64_t steps_ns = 0;
      bool all = true;
      for (int i = 0; i < network->steps(); ++i) {
        all = all && network->step_ns(i) > 0;
        steps_ns += network->step_ns(i);
      }
      check(same, "a look at the clock changes no result");
      check(all && steps_ns <= total_ns, "each step takes a part of the threads' time");
    }
  }
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

void test_longest_window() {
  const StepKind binary = StepKind::kBconv2d;
  for (int channels : {258, 259}) {  // 2^24 bits lie between
    Step step =
        convolution(binary, 1, channels, 1, 255, 1, 1, Shortcut::kNone, false, true, false, 0);
    Status status;
    const bool good = check_step(0, &step, &status);
    check(good == (channels == 258), "a window has at most 2^24 bits");
  }
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

// Rows of whole pages: no step reads floats and writes them at the same place of a page.
void test_places() {
  constexpr int kSteps = 9, kSize = 32, kChannels = 64;
  std::vector<PreparedStep> steps(kSteps);
  KernelChoice choice{};
  Status status;
  check(KernelChoice::parse("scalar", &choice, &status), status.message);
  for (int i = 0; i < kSteps; ++i) {
    Step step = i == 0 ? convolution(StepKind::kConv2d, kSize, 3, kChannels, 3, 1, 1,
                                     Shortcut::kNone, false, true, true, 1)
                       : convolution(StepKind::kBconv2d, kSize, kChannels, kChannels, i % 2 ? 3 : 1,
                                     1, 1, Shortcut::kIdentity, true, true, true, 1);
    if (!check_step(i, &step, &status) || !choose_kernel(i, step, choice, &steps[i], &status)) {
      return check(false, status.message);
    }
  }
  for (int threads : {1, 3}) {
    for (size_t limit : {size_t(0), size_t(1) << 30}) {  // whole tensors between pairs; rings
      Segment segments[kSteps];
      const int count = cut_segments(steps.data(), kSteps, threads, {limit, 100}, segments);
      Arena arena;
      if (!arena.plan(steps.data(), kSteps, segments, count, threads)) {
        return check(false, "no memory");
      }
      for (int thread = 0; thread < threads; ++thread) {
        for (int i = 1; i + 1 < kSteps; ++i) {  // the first input and the last output are others'
          const Stage& stage = arena.stages(thread)[i];
          const size_t in = size_t(stage.in.values.base), out = size_t(stage.out.values.base);
          const size_t apart = (out - in) % kPageBytes;
          check(apart >= kPageBytes / 4 && apart <= kPageBytes * 3 / 4,
                "an output stands apart from its input");
        }
      }
    }
  }
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
  test_counted_time(file);
  test_names(file);
  test_longest_window();
  test_arena();
  test_places();
  test_truncated(file);
  test_mutations(file, steps.size(), int(option(argc, argv, "--mutations", 2000)));
  return finish();
}
