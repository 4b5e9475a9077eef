#include "engine/network.h"

#include <algorithm>
#include <new>

#include "engine/clock.h"
#include "engine/tune.h"

namespace bnn {
namespace {

// Adds the nanoseconds of its life to a count; without a count it does nothing.
class Timed {
 public:
  explicit Timed(int64_t* count_ns) : count_ns_(count_ns), start_ns_(count_ns ? clock_ns() : 0) {}
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;
  ~Timed() {
    if (count_ns_) *count_ns_ += clock_ns() - start_ns_;
  }

 private:
  int64_t* count_ns_;
  int64_t start_ns_;
};

}  // namespace

std::unique_ptr<Network> Network::load(const void* data, size_t size, const LoadOptions& options,
                                       Status* status) {
  BnnFile file;
  if (!file.parse(data, size, status)) return nullptr;
  if (!file.has_constants()) {
    status->fail(Code::kMalformed, "a plan without constants cannot be run as a network");
    return nullptr;
  }
  std::unique_ptr<Network> network(new (std::nothrow) Network);
  if (!network) {
    status->fail(Code::kNoMemory, "no memory for a network");
    return nullptr;
  }
  if (network->choose(file, options, status) && network->prepare(file, status) &&
      network->plan(options, status)) {
    return network;
  }
  return nullptr;
}

bool Network::choose(const BnnFile& file, const LoadOptions& options, Status* status) {
  KernelChoice choice{};
  if (!KernelChoice::parse(options.kernel, &choice, status)) return false;
  count_ = file.steps();
  steps_.reset(new (std::nothrow) PreparedStep[count_]);
  if (!steps_) return status->fail(Code::kNoMemory, "no memory for %d steps", count_);
  for (int i = 0; i < count_; ++i) {
    if (!choose_kernel(i, file.step(i), choice, &steps_[i], status)) return false;
  }
  if (!choice.kernel) tune(steps_.get(), count_);
  return true;
}

bool Network::prepare(const BnnFile& file, Status* status) {
  for (int i = 0; i < count_; ++i) constant_bytes_ += prepared_bytes(steps_[i]);
  constants_ = allocate(constant_bytes_);
  if (!constants_)
    return status->fail(Code::kNoMemory, "no memory for %zu bytes of constants", constant_bytes_);
  char* place = constants_.get();
  for (int i = 0; i < count_; ++i) {
    prepare_constants(file.constants(i), place, &steps_[i]);
    place += prepared_bytes(steps_[i]);
  }
  return true;
}

bool Network::plan(const LoadOptions& options, Status* status) {
  const int threads = options.threads;
  if (threads < 1 || threads > kMaxThreads) {
    return status->fail(Code::kUnsupported, "expected 1 to %d threads, got %d", kMaxThreads,
                        threads);
  }
  segments_.reset(new (std::nothrow) Segment[count_]);
  next_row_.reset(new (std::nothrow) int[next_rows_stride() * threads]);
  if (!segments_ || !next_row_) {
    return status->fail(Code::kNoMemory, "no memory for the plan of %d steps", count_);
  }
  segment_count_ = cut_segments(steps_.get(), count_, threads, options.limits, segments_.get());
  if (!arena_.plan(steps_.get(), count_, segments_.get(), segment_count_, threads)) {
    return status->fail(Code::kNoMemory, "no memory for an arena of %zu bytes", arena_.bytes());
  }
  threads_ = threads;
  if (threads == 1 || !options.own_threads) return true;
  pool_ = ThreadPool::make(threads, options.first_core, status);
  return pool_ != nullptr;
}

void Network::run(const float* image, float* result, Crew* crew) {
  if (!crew) crew = pool_.get();
  for (int thread = 0; thread < threads(); ++thread) {
    arena_.stages(thread)[0].in.values.base = image;
    arena_.stages(thread)[count_ - 1].out.values.base = result;
  }
  for (int s = 0; s < segment_count_; ++s) {
    if (threads_ == 1 || steps_[segments_[s].begin].step.kind == StepKind::kGlobalAvgpool) {
      run_segment(segments_[s], 0);
      continue;
    }
    struct Section {
      Network* network;
      const Segment* segment;
    } section = {this, &segments_[s]};
    crew->run(
        [](void* context, int thread) {
          const Section* part = static_cast<const Section*>(context);
          part->network->run_segment(*part->segment, thread);
        },
        &section);
  }
}

bool Network::count_time() {
  step_ns_.reset(new (std::nothrow) int64_t[next_rows_stride() * threads_]());
  return step_ns_ != nullptr;
}

int64_t Network::step_ns(int index) const {
  int64_t sum = 0;
  for (int thread = 0; step_ns_ && thread < threads_; ++thread) {
    sum += step_ns_[next_rows_stride() * thread + index];
  }
  return sum;
}

// The part of a thread: a band of rows of the segment's output, or of a linear step's outputs; a
// pool has one part.
void Network::run_segment(const Segment& segment, int thread) {
  const int last = segment.end - 1;
  const PreparedStep& prepared = steps_[last];
  const Stage& stage = arena_.stages(thread)[last];
  if (prepared.step.kind == StepKind::kGlobalAvgpool) {
    const Timed timed(count_of(thread, last));
    return run_step(prepared, stage.in, stage.out, stage.scratch);
  }
  if (prepared.step.kind == StepKind::kLinear) {
    constexpr int kOutputs = 16;  // a cache line of outputs belongs to one thread
    const int out_c = prepared.step.shape.out_c;
    const Band band = band_of((out_c + kOutputs - 1) / kOutputs, thread, threads());
    const int end = band.end * kOutputs < out_c ? band.end * kOutputs : out_c;
    if (band.begin < band.end) {
      const Timed timed(count_of(thread, last));
      run_linear(prepared, stage.in, stage.out, band.begin * kOutputs, end);
    }
    return;
  }
  Band band = band_of(prepared.step.shape.out_h, thread, threads());
  if (band.begin == band.end) return;
  const int last_row = band.end - 1;
  int* next_row = next_rows(thread);
  for (int i = last; i >= segment.begin; --i) {
    next_row[i] = band.begin;
    band = input_band(steps_[i].step, band);
  }
  pull(segment, thread, last, last_row);
}

// Makes the rows of step `index` up to `last`, each as soon as the step before it has made the rows
// that it reads.
void Network::pull(const Segment& segment, int thread, int index, int last) {
  const PreparedStep& prepared = steps_[index];
  const Stage& stage = arena_.stages(thread)[index];
  int* next_row = next_rows(thread) + index;
  while (*next_row <= last) {
    const int turn_end = std::min(*next_row + turn_rows(prepared.step), last + 1);
    if (index > segment.begin) {
      pull(segment, thread, index - 1, prepared.step.last_row(turn_end - 1));
    }
    const Timed timed(count_of(thread, index));
    for (; *next_row < turn_end; ++*next_row) {
      run_step_row(prepared, stage.in, stage.out, *next_row, stage.scratch);
    }
  }
}

}  // namespace bnn
