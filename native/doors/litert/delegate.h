// The delegate: which nodes of a model it takes, and the kernel that runs them.
#pragma once

#include <memory>

#include "doors/litert/abi.h"
#include "doors/litert/profile.h"
#include "doors/lock.h"
#include "engine/network.h"
#include "engine/thread_pool.h"

namespace bnn::litert {

struct DelegateOptions {
  char kernel[64] = "";           // as in LoadOptions; empty: the best
  int threads = 0;                // 0: as many as the runtime has
  const char* profile = nullptr;  // path of a file; null: no time is counted
};

class Delegate {
 public:
  // Null: `status` says why.
  static std::unique_ptr<Delegate> make(const DelegateOptions& options, Status* status);

  TfLiteDelegate* handle() { return &handle_; }
  static Delegate* of(TfLiteDelegate* handle) { return static_cast<Delegate*>(handle->data); }

  // Options for a model in this runtime; starts the threads that it takes. False: `status` says
  // why.
  bool open(const TfLiteContext& context, LoadOptions* options, Status* status);
  // Null with one thread.
  Crew* crew() { return pool_.get(); }
  Lock* one_at_a_time() { return &one_at_a_time_; }
  Profile* profile() { return profile_.is_open() ? &profile_ : nullptr; }

 private:
  TfLiteDelegate handle_ = {};
  DelegateOptions options_;
  Profile profile_;
  Lock one_at_a_time_;
  std::unique_ptr<ThreadPool> pool_;  // of all models that share the delegate
};

}  // namespace bnn::litert
