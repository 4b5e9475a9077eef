// A loaded network: kernels chosen, weights re-tiled, memory planned; then run() allocates nothing.
#pragma once

#include <memory>

#include "engine/arena.h"
#include "engine/bnn_file.h"
#include "engine/crew.h"
#include "engine/execute.h"
#include "engine/memory.h"
#include "engine/segments.h"
#include "engine/thread_pool.h"

namespace bnn {

struct LoadOptions {
  const char* kernel = nullptr;  // as in KernelChoice::parse
  int threads = 1;               // 1 .. kMaxThreads; the result is the same for every number
  bool own_threads = true;       // false: run() is given a crew
  int first_core = -1;           // of the workers: ThreadPool::make
  SegmentLimits limits;
};

class Network {
 public:
  // From the bytes of a .bnn file with constants, which may be released afterwards. Null when it
  // fails; `status` says why.
  static std::unique_ptr<Network> load(const void* data, size_t size, const LoadOptions& options,
                                       Status* status);

  int steps() const { return count_; }
  const PreparedStep& step(int index) const { return steps_[index]; }
  int segments() const { return segment_count_; }
  const Segment& segment(int index) const { return segments_[index]; }
  int threads() const { return threads_; }
  ThreadPool* pool() { return pool_.get(); }  // null with one thread
  size_t arena_bytes() const { return arena_.bytes(); }
  size_t constant_bytes() const { return constant_bytes_; }

  // Elements of the image [H, W, C] and of the result.
  size_t image_values() const { return steps_[0].step.in_values(); }
  size_t result_values() const { return steps_[count_ - 1].step.out_values(); }

  // image: float32 [H, W, C]; result: float32, result_values(). One caller at a time. crew: runs
  // the parts of threads(); null: the network's own threads.
  void run(const float* image, float* result, Crew* crew = nullptr);

  // From now on runs add up how long each step takes; from 0, if they did before. False: no memory.
  bool count_time();
  // Of a step in all runs since then, summed over the threads; 0 where no time is counted.
  int64_t step_ns(int index) const;

 private:
  bool choose(const BnnFile& file, const LoadOptions& options, Status* status);
  bool prepare(const BnnFile& file, Status* status);
  bool plan(const LoadOptions& options, Status* status);
  // Of a thread's band, while a segment runs: the row that each step makes next. On cache lines
  // that no other thread writes.
  size_t next_rows_stride() const { return (size_t(count_) + 31) / 16 * 16; }
  int* next_rows(int thread) { return next_row_.get() + next_rows_stride() * thread; }
  int64_t* count_of(int thread, int index) {
    return step_ns_ ? step_ns_.get() + next_rows_stride() * thread + index : nullptr;
  }
  void run_segment(const Segment& segment, int thread);
  void pull(const Segment& segment, int thread, int index, int last);

  int count_ = 0, segment_count_ = 0, threads_ = 1;
  size_t constant_bytes_ = 0;
  std::unique_ptr<PreparedStep[]> steps_;
  std::unique_ptr<Segment[]> segments_;
  std::unique_ptr<int[]> next_row_;     // [threads, next_rows_stride()]
  std::unique_ptr<int64_t[]> step_ns_;  // the same; null: no time is counted
  Memory constants_;
  Arena arena_;
  std::unique_ptr<ThreadPool> pool_;  // the last member: it ends first
};

}  // namespace bnn
