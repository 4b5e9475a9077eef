#include "doors/litert/delegate.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "doors/litert/kernel.h"

namespace bnn::litert {

std::unique_ptr<Delegate> Delegate::make(const DelegateOptions& options, Status* status) {
  std::unique_ptr<Delegate> delegate(new (std::nothrow) Delegate);
  if (!delegate) {
    status->fail(Code::kNoMemory, "no memory for a delegate");
    return nullptr;
  }
  if (options.profile && !delegate->profile_.open(options.profile)) {
    status->fail(Code::kUnsupported, "option profile: %.200s: %s", options.profile,
                 std::strerror(errno));
    return nullptr;
  }
  delegate->options_ = options;
  delegate->handle_.data = delegate.get();
  delegate->handle_.Prepare = claim_nodes;
  delegate->handle_.flags = kAllowDynamicTensors;
  return delegate;
}

bool Delegate::open(const TfLiteContext& context, LoadOptions* options, Status* status) {
  const Locked locked(&one_at_a_time_);
  const int wanted = options_.threads ? options_.threads : context.recommended_num_threads;
  *options = LoadOptions{};
  options->kernel = options_.kernel;
  options->threads = pool_ ? pool_->threads() : std::clamp(wanted, 1, kMaxThreads);
  options->own_threads = false;
  if (options->threads > 1 && !pool_) {
    pool_ = ThreadPool::make(options->threads, -1, status);
    return pool_ != nullptr;
  }
  return true;
}

}  // namespace bnn::litert
