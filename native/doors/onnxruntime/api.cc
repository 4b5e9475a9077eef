#include "doors/onnxruntime/api.h"

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <initializer_list>

#include "doors/lock.h"

namespace bnn::ort {
namespace {

std::atomic<const OrtFunction*> api{nullptr};

template <class... Arguments>
OrtStatus* call_in(const OrtFunction* table, OrtSlot slot, Arguments... arguments) {
  return reinterpret_cast<OrtStatus* (*)(Arguments...)>(table[slot])(arguments...);
}

template <class... Arguments>
OrtStatus* call(OrtSlot slot, Arguments... arguments) {
  return call_in(api.load(std::memory_order_relaxed), slot, arguments...);
}

template <class Argument>
void release_by(OrtSlot slot, Argument* argument) {
  reinterpret_cast<void (*)(Argument*)>(api.load(std::memory_order_relaxed)[slot])(argument);
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

OrtStatus* open_api(const OrtApiBase* base) {
  const OrtFunction* table = base->get_api(kApiVersion);
  if (!table) {
    char message[120];
    std::snprintf(message, sizeof message,
                  "bnn_deploy: ONNX Runtime 1.%u or later is needed, this is %s", kApiVersion,
                  base->version());
    return call_in(base->get_api(1), kCreateStatus, int(kFail),  // in all of them
                   static_cast<const char*>(message));
  }
  const OrtFunction* before = nullptr;
  if (api.compare_exchange_strong(before, table) || before == table) return nullptr;
  return call_in(table, kCreateStatus, int(kFail),
                 "bnn_deploy: another ONNX Runtime in this process has this library already");
}

OrtStatus* fail(const char* format, ...) {
  char message[400];
  const int begin = std::snprintf(message, sizeof message, "bnn_deploy: ");
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message + begin, sizeof message - begin, format, arguments);
  va_end(arguments);
  return call(kCreateStatus, int(kInvalidArgument), static_cast<const char*>(message));
}

OrtStatus* no_memory(const char* for_what) {
  char message[80];
  std::snprintf(message, sizeof message, "bnn_deploy: no memory for %s", for_what);
  return call(kCreateStatus, int(kFail), static_cast<const char*>(message));
}

void release(OrtStatus* status) {
  if (status) release_by(kReleaseStatus, status);
}

OrtStatus* as_ort(const Status& status) {
  return status.ok() ? nullptr : fail("%s", status.message);
}

OrtStatus* describe(const OrtValue* value, Tensor* tensor) {
  void* data = nullptr;
  BNN_ORT_TRY(call(kGetTensorMutableData, const_cast<OrtValue*>(value), &data));
  tensor->data = data;
  OrtTensorInfo* info = nullptr;
  BNN_ORT_TRY(call(kGetTensorTypeAndShape, value, &info));
  OrtStatus* status = read_info(info, tensor);
  release_by(kReleaseTensorTypeAndShapeInfo, info);
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
    return fail("input %zu must be an initializer: it is prepared once, at load", index);
  }
  return describe(value, tensor);
}

OrtStatus* input(const OrtKernelContext* context, size_t index, Tensor* tensor) {
  const OrtValue* value = nullptr;
  BNN_ORT_TRY(call(kGetInput, context, index, &value));
  if (!value) return fail("input %zu is missing", index);
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

OrtStatus* add_domain(OrtSessionOptions* options) {
  static Lock lock;
  static OrtCustomOpDomain* domain = nullptr;  // lives as long as any session: it is never released
  const Locked locked(&lock);
  if (!domain) {
    OrtCustomOpDomain* made = nullptr;
    BNN_ORT_TRY(call(kCreateCustomOpDomain, "bnn_deploy", &made));
    for (const OrtCustomOp* op : {&kNetworkOp, &kBinaryConv2dOp}) {
      BNN_ORT_TRY(call(kCustomOpDomainAdd, made, op));
    }
    domain = made;
  }
  return call(kAddCustomOpDomain, options, domain);
}

}  // namespace bnn::ort
