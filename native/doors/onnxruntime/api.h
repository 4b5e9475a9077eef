// Calls into ONNX Runtime, typed. They return the runtime's own status; TRY hands it on.
#pragma once

#include "doors/onnxruntime/abi.h"
#include "engine/status.h"

#define BNN_ORT_TRY(call)                                \
  do {                                                   \
    if (OrtStatus* const failed = (call)) return failed; \
  } while (0)

namespace bnn::ort {

// Takes the runtime's table; called first. Refused when the runtime is older than kApiVersion, or
// when another ONNX Runtime in this process has this library already.
OrtStatus* open_api(const OrtApiBase* base);

// A status whose message begins with "bnn_deploy: "; printf's format.
__attribute__((format(printf, 1, 2))) OrtStatus* fail(const char* format, ...);
OrtStatus* no_memory(const char* for_what);

void release(OrtStatus* status);

// The engine's status as the runtime's; null if it is ok.
OrtStatus* as_ort(const Status& status);

// What a tensor holds. Sizes of at most kMaxRank dimensions.
constexpr size_t kMaxRank = 4;
struct Tensor {
  int type;
  size_t rank, elements;
  int64_t dims[kMaxRank];
  const void* data;
};
OrtStatus* describe(const OrtValue* value, Tensor* tensor);

OrtStatus* get_int(const OrtKernelInfo* info, const char* name, int64_t* value);
// *count: room in `values` before, how many there are after; values null: only their number.
OrtStatus* get_ints(const OrtKernelInfo* info, const char* name, int64_t* values, size_t* count);
OrtStatus* input_count(const OrtKernelInfo* info, size_t* count);
// Refused when the input is not known before the network runs.
OrtStatus* constant_input(const OrtKernelInfo* info, size_t index, Tensor* tensor);

OrtStatus* input(const OrtKernelContext* context, size_t index, Tensor* tensor);
OrtStatus* output(OrtKernelContext* context, size_t index, const int64_t* dims, size_t rank,
                  float** data);

// work(context, 0 .. count - 1) on the runtime's threads.
OrtStatus* parallel_for(const OrtKernelContext* context, void (*work)(void*, size_t), size_t count,
                        void* data);

// Both operators; they live as long as the library.
extern const OrtCustomOp kNetworkOp, kBinaryConv2dOp;

// Adds the domain "bnn_deploy" with both operators to a session. All sessions share one.
OrtStatus* add_domain(OrtSessionOptions* options);

}  // namespace bnn::ort
