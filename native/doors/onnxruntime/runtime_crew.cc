#include "doors/onnxruntime/runtime_crew.h"

#include <sched.h>

#include <atomic>

#include "engine/clock.h"
#include "engine/thread_pool.h"

namespace bnn::ort {
namespace {

constexpr int64_t kMusterNs = 500'000;  // a thread that sleeps needs some 50 us

// Threads that have come by, each known by an address of its own.
struct Muster {
  std::atomic<int64_t> end_ns{0};  // set by the first
  std::atomic<const void*> seen[kMaxThreads] = {};

  void sign() {
    static thread_local char mine;
    for (std::atomic<const void*>& place : seen) {
      const void* expected = nullptr;
      if (place.compare_exchange_strong(expected, &mine) || expected == &mine) return;
    }
  }
  int count() const {
    int threads = 0;
    while (threads < kMaxThreads && seen[threads]) ++threads;
    return threads;
  }
};

}  // namespace

int count_threads(const OrtKernelContext* context) {
  Muster muster;
  OrtStatus* status = parallel_for(
      context,
      [](void* data, size_t) {
        Muster* muster = static_cast<Muster*>(data);
        muster->sign();
        int64_t unset = 0;
        muster->end_ns.compare_exchange_strong(unset, clock_ns() + kMusterNs);
        while (clock_ns() < muster->end_ns) sched_yield();  // leave the rest to the others
      },
      kMaxThreads, &muster);
  release(status);
  return status ? 1 : muster.count();
}

void RuntimeCrew::run(Task task, void* context) {
  struct Part {
    Task task;
    void* context;
  } part = {task, context};
  OrtStatus* status = parallel_for(
      context_,
      [](void* data, size_t index) {
        const Part* mine = static_cast<const Part*>(data);
        mine->task(mine->context, int(index));
      },
      size_t(count_), &part);
  if (status_) return release(status);
  status_ = status;
}

}  // namespace bnn::ort
