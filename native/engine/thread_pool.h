// Threads that stay: a parallel section costs a few hundred nanoseconds while they are awake. After
// a section a worker spins for a moment, since the next one follows soon while a network runs, and
// then sleeps.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "engine/crew.h"
#include "engine/status.h"

namespace bnn {

constexpr int kMaxThreads = 256;

class ThreadPool final : public Crew {
 public:
  // `threads` counts the caller of run(): there are threads - 1 workers. first_core: worker i is
  // bound to core first_core + i; -1: to none. Null when it fails.
  static std::unique_ptr<ThreadPool> make(int threads, int first_core, Status* status);
  ~ThreadPool();

  int threads() const { return threads_; }

  // task(context, 0) here and task(context, 1 .. threads - 1) on the workers; returns when all of
  // them have. One caller at a time.
  void run(Task task, void* context) override;

 private:
  struct Worker {
    ThreadPool* pool;
    int index;
    pthread_t thread;
  };

  static void* work(void* worker);
  bool start(int index, int core, Status* status);
  uint32_t wait_for_section(uint32_t seen);
  void wait_for_workers();

  int threads_ = 1, started_ = 0;
  std::unique_ptr<Worker[]> workers_;
  Task task_ = nullptr;  // null: the end
  void* context_ = nullptr;
  // Each on a cache line of its own: the first is read by all, the second written by all.
  alignas(64) std::atomic<uint32_t> section_{0};
  std::atomic<int> sleeping_{0};
  alignas(64) std::atomic<uint32_t> working_{0};
  std::atomic<bool> caller_sleeps_{false};
};

}  // namespace bnn
