#include "engine/thread_pool.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <new>

#include "engine/clock.h"

namespace bnn {
namespace {

// A wait in three parts: alone, then yielding to threads that want this core (the one that is
// waited for may be among them), then asleep, for waking up costs tens of microseconds.
constexpr int64_t kAloneNs = 20'000;
constexpr int64_t kSpinNs = 100'000;
constexpr int kSpinsPerLook = 64;  // at the clock

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Spins until done() or for kSpinNs; whether it is done.
template <class Done>
bool spin(const Done& done) {
  const int64_t start = clock_ns();
  for (int64_t spent = 0; spent < kSpinNs; spent = clock_ns() - start) {
    for (int i = 0; i < kSpinsPerLook; ++i) {
      if (done()) return true;
      pause();
    }
    if (spent > kAloneNs) sched_yield();
  }
  return done();
}

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t), "a futex is 32 bits");

void sleep_while(std::atomic<uint32_t>* word, uint32_t value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void wake_all(std::atomic<uint32_t>* word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace

std::unique_ptr<ThreadPool> ThreadPool::make(int threads, int first_core, Status* status) {
  std::unique_ptr<ThreadPool> pool(new (std::nothrow) ThreadPool);
  if (pool) pool->workers_.reset(new (std::nothrow) Worker[threads]);
  if (!pool || !pool->workers_) {
    status->fail(Code::kNoMemory, "no memory for %d threads", threads);
    return nullptr;
  }
  pool->threads_ = threads;
  for (int i = 1; i < threads; ++i) {
    if (!pool->start(i, first_core < 0 ? -1 : first_core + i, status)) return nullptr;
  }
  return pool;
}

bool ThreadPool::start(int index, int core, Status* status) {
  Worker& worker = workers_[index];
  worker = {this, index, {}};
  int error = 0;
  cpu_set_t before, wanted;
  if (core >= 0) {  // a thread begins on the cores of the one that starts it
    CPU_ZERO(&wanted);
    if (core < CPU_SETSIZE) CPU_SET(core, &wanted);
    if (sched_getaffinity(0, sizeof before, &before) != 0 ||
        sched_setaffinity(0, sizeof wanted, &wanted) != 0) {
      error = errno;
    }
  }
  if (error == 0) {
    error = pthread_create(&worker.thread, nullptr, &work, &worker);
    if (core >= 0) sched_setaffinity(0, sizeof before, &before);
  }
  if (error) {
    const char* where = core >= 0 ? " on its core" : "";
    return status->fail(Code::kUnsupported, "cannot start thread %d%s: %s", index, where,
                        std::strerror(error));
  }
  started_ = index;
  return true;
}

ThreadPool::~ThreadPool() {
  task_ = nullptr;
  section_.fetch_add(1);
  wake_all(&section_);
  for (int i = 1; i <= started_; ++i) pthread_join(workers_[i].thread, nullptr);
}

void* ThreadPool::work(void* context) {
  const Worker& worker = *static_cast<Worker*>(context);
  ThreadPool* pool = worker.pool;
  for (uint32_t seen = 0;;) {
    seen = pool->wait_for_section(seen);
    if (!pool->task_) return nullptr;
    pool->task_(pool->context_, worker.index);
    if (pool->working_.fetch_sub(1) == 1 && pool->caller_sleeps_.load()) wake_all(&pool->working_);
  }
}

// The sections go by one by one, for run() waits for all workers. A sleeper announces itself before
// it looks a last time, and run() looks for sleepers after it has opened a section (both
// sequentially consistent): one of them sees the other.
uint32_t ThreadPool::wait_for_section(uint32_t seen) {
  if (spin([&] { return section_.load(std::memory_order_acquire) != seen; })) return seen + 1;
  sleeping_.fetch_add(1);
  while (section_.load() == seen) sleep_while(&section_, seen);
  sleeping_.fetch_sub(1);
  return seen + 1;
}

void ThreadPool::wait_for_workers() {
  if (spin([&] { return working_.load(std::memory_order_acquire) == 0; })) return;
  caller_sleeps_.store(true);
  for (uint32_t left; (left = working_.load()) != 0;) sleep_while(&working_, left);
  caller_sleeps_.store(false);
}

void ThreadPool::run(Task task, void* context) {
  task_ = task;
  context_ = context;
  working_.store(uint32_t(threads_ - 1), std::memory_order_relaxed);
  section_.fetch_add(1);
  if (sleeping_.load() > 0) wake_all(&section_);
  task(context, 0);
  wait_for_workers();
}

}  // namespace bnn
