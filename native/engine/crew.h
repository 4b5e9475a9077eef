// Who runs the parts of a parallel section: the engine's own threads (thread_pool.h), or those of
// the runtime that a network runs in.
#pragma once

namespace bnn {

class Crew {
 public:
  using Task = void (*)(void* context, int thread);

  // task(context, 0 .. threads - 1), each once, in any order, at the same time or not; returns when
  // all of them have. One caller at a time.
  virtual void run(Task task, void* context) = 0;

 protected:
  ~Crew() = default;
};

}  // namespace bnn
