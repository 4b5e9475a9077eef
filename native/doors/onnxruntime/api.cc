#include "doors/onnxruntime/api.h"

#include <sched.h>

#include <atomic>
#include <cstdarg>
#include <cstdio>

#include "engine/clock.h"
#include "engine/thread_pool.h"

namespace bnn::ort {
namespace {

const OrtFunction* api = nullptr;

template <class... Arguments>
OrtStatus* call(OrtSlot slot, Arguments... arguments) {
  return reinterpret_cast<OrtStatus* (*)(Arguments...)>(api[slot])(arguments...);
}

template <class Argument>
void release(OrtSlot slot, Argument* argument) {
  reinterpret_cast<void (*)(Argument*)>(api[slot])(argument);
}

OrtStatus* read_info(const OrtTensorInfo* info, Tensor* tensor) {
  BNN_ORT_TRY(call(kGetTensorElementType, info, &tensor->type));
  BNN_ORT_TRY(call(kGetTensorShapeElementCount, info, &tensor->elements));
  BNN_ORT_TRY(call(kGetDimensionsCount, info, &tensor->rank));
  if (tensor->rank > kMaxRank) {
    return fail("expected a tensor of at most %zu dimensions, got %zu", kMaxRank, tensor->rank);
  }
  return call(kGetDimensions, info, &tensor->dims[0], tensor->rank);
}

}  // namespace

bool open_api(const OrtApiBase* base, OrtStatus** status) {
  api = base->get_api(kApiVersion);
  if (api) return true;
  api = base->get_api(1);  // kCreateStatus is in all of them
  *status =
      fail("bnn_deploy needs ONNX Runtime 1.%u or later, this is %s", kApiVersion, base->version());
  return false;
}

OrtStatus* fail(const char* format, ...) {
  char message[400];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  return call(kCreateStatus, int(kInvalidArgument), static_cast<const char*>(message));
}

OrtStatus* as_ort(const Status& status) {
  return status.ok() ? nullptr : fail("bnn_deploy: %s", status.message);
}

OrtStatus* describe(const OrtValue* value, Tensor* tensor) {
  void* data = nullptr;
  BNN_ORT_TRY(call(kGetTensorMutableData, const_cast<OrtValue*>(value), &data));
  tensor->data = data;
  OrtTensorInfo* info = nullptr;
  BNN_ORT_TRY(call(kGetTensorTypeAndShape, value, &info));
  OrtStatus* status = read_info(info, tensor);
  release(kReleaseTensorTypeAndShapeInfo, info);
  return status;
}

OrtStatus* get_int(const OrtKernelInfo* info, const char* name, int64_t* value) {
  return call(kGetAttributeInt64, info, name, value);
}

OrtStatus* get_ints(const OrtKernelInfo* info, const char* name, int64_t* values, size_t* count) {
  return call(kGetAttributeArrayInt64, info, name, values, count);
}

OrtStatus* input_count(const OrtKernelInfo* info, size_t* count) {
  return call(kGetInputCount, info, count);
}

OrtStatus* constant_input(const OrtKernelInfo* info, size_t index, Tensor* tensor) {
  int is_constant = 0;
  const OrtValue* value = nullptr;
  BNN_ORT_TRY(call(kGetConstantInput, info, index, &is_constant, &value));
  if (!is_constant || !value) {
    return fail("bnn_deploy: input %zu must be an initializer: it is prepared once, at load",
                index);
  }
  return describe(value, tensor);
}

OrtStatus* input(const OrtKernelContext* context, size_t index, Tensor* tensor) {
  const OrtValue* value = nullptr;
  BNN_ORT_TRY(call(kGetInput, context, index, &value));
  if (!value) return fail("bnn_deploy: input %zu is missing", index);
  return describe(value, tensor);
}

OrtStatus* output(OrtKernelContext* context, size_t index, const int64_t* dims, size_t rank,
                  float** data) {
  OrtValue* value = nullptr;
  BNN_ORT_TRY(call(kGetOutput, context, index, dims, rank, &value));
  void* memory = nullptr;
  BNN_ORT_TRY(call(kGetTensorMutableData, value, &memory));
  *data = static_cast<float*>(memory);
  return nullptr;
}

OrtStatus* parallel_for(const OrtKernelContext* context, void (*work)(void*, size_t), size_t count,
                        void* data) {
  return call(kParallelFor, context, work, count, size_t(0), data);
}

namespace {

// Threads that have come by, each known by an address of its own.
struct Muster {
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
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) != 0 || CPU_COUNT(&cores) < 2) return 1;
  Muster muster;
  OrtStatus* status = parallel_for(
      context,
      [](void* data, size_t) {
        static_cast<Muster*>(data)->sign();
        // Long enough for a thread that sleeps to come for its share.
        constexpr int64_t kStayNs = 50'000;
        for (const int64_t end = clock_ns() + kStayNs; clock_ns() < end;) sched_yield();
      },
      size_t(4) * CPU_COUNT(&cores), &muster);
  if (status) release(kReleaseStatus, status);
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
  if (status && status_) release(kReleaseStatus, status);
  if (status && !status_) status_ = status;
}

OrtStatus* add_domain(OrtSessionOptions* options, const char* name, const OrtCustomOp* const* ops,
                      size_t count) {
  OrtCustomOpDomain* domain = nullptr;  // lives as long as any session: it is never released
  BNN_ORT_TRY(call(kCreateCustomOpDomain, name, &domain));
  for (size_t i = 0; i < count; ++i) BNN_ORT_TRY(call(kCustomOpDomainAdd, domain, ops[i]));
  return call(kAddCustomOpDomain, options, domain);
}

}  // namespace bnn::ort
