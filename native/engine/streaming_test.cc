// Streaming in rows gives what step by step on whole tensors gives, bit for bit, on random chains,
// for every number of threads and every cut; and the threads themselves.
//   streaming_test [--chains N] [--seed S]
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "engine/tensors.h"
#include "engine/test_network.h"
#include "tests/check.h"

namespace bnn {
namespace {

// The same by whole tensors, one step after another.
std::vector<float> run_stepwise(const Network& network) {
  Tensors before, out;
  bool good = before.make_input(network.step(0).step, network.step(0).step.shape.in_h);
  invent_values(7, network.image_values(), before.rows().values.base);
  for (int i = 0; i < network.steps(); ++i) {
    const Step& step = network.step(i).step;
    OwnScratch scratch;
    good = good && out.make_output(step) && scratch.make(step, before.as_input());
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
  const bool packs = random->chance(20);
  for (int i = 0; i < convolutions; ++i) {
    Step step = {};
    step.kind = i == 0 || random->chance(20) ? StepKind::kConv2d : StepKind::kBconv2d;
    if (i == 0 && packs && convolutions > 1) {
      s.kernel = s.stride = s.groups = 1;
      s.out_c = s.in_c;
      set_same_padding(&s);
      steps.push_back(step);
      steps.back().kind = StepKind::kPack;
      steps.back().shape = s;
      steps.back().float_out = steps.back().bits_out = true;
      continue;
    }
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
    if (step.kind == StepKind::kBconv2d && random->chance(40)) {
      step.zero_padding = random->chance(50);
      if (!step.zero_padding) step.activation = Activation(random->below(4));
    }
    step.float_out = step.bits_out = true;
    steps.push_back(step);
    s.in_h = s.out_h;
    s.in_w = s.out_w;
    s.in_c = s.out_c;
  }
  for (int i = 0; i < convolutions; ++i) {  // what the next one reads, and sometimes more
    const bool last = i + 1 == convolutions;
    if (!last && steps[i].kind == StepKind::kPack) steps[i + 1].kind = StepKind::kBconv2d;
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

}  // namespace
}  // namespace bnn

int main(int argc, char** argv) {
  using namespace bnn;
  test_thread_pool();
  test_chains(int(option(argc, argv, "--chains", 40)), option(argc, argv, "--seed", 1));
  return finish();
}
