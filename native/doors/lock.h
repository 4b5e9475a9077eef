// One caller at a time, without the C++ library's runtime.
#pragma once

#include <pthread.h>

namespace bnn {

class Lock {  // nothing to destroy: on Linux a mutex is its bytes
 public:
  Lock() = default;
  Lock(const Lock&) = delete;

 private:
  friend class Locked;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

// Holds a lock as long as it lives.
class Locked {
 public:
  explicit Locked(Lock* lock) : mutex_(&lock->mutex_) { pthread_mutex_lock(mutex_); }
  Locked(const Locked&) = delete;
  ~Locked() { pthread_mutex_unlock(mutex_); }

 private:
  pthread_mutex_t* mutex_;
};

}  // namespace bnn
