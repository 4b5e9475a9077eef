// The part of ONNX Runtime's C ABI that is used here. The API is one append-only table of functions
// and a slot's number never changes, so neither a header nor a link to ONNX Runtime is needed, and
// one library serves every release from 1.17 on. Numbers: offsets in the published
// onnxruntime_c_api.h, divided by 8.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bnn::ort {

constexpr uint32_t kApiVersion = 17;  // the first with KernelContext_ParallelFor

// Opaque to everyone but the runtime. A null OrtStatus is success.
struct OrtStatus;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtValue;
struct OrtTensorInfo;
struct OrtCustomOpDomain;
struct OrtSessionOptions;

using OrtFunction = void (*)();

struct OrtApiBase {
  const OrtFunction* (*get_api)(uint32_t version);  // null: the runtime is older
  const char* (*version)();
};

enum OrtSlot {
  kCreateStatus = 0,
  kCreateCustomOpDomain = 26,
  kCustomOpDomainAdd = 27,
  kAddCustomOpDomain = 28,
  kGetTensorMutableData = 51,
  kGetTensorElementType = 60,
  kGetDimensionsCount = 61,
  kGetDimensions = 62,
  kGetTensorShapeElementCount = 64,
  kGetTensorTypeAndShape = 65,
  kGetAttributeInt64 = 86,
  kGetInput = 90,
  kGetOutput = 91,
  kReleaseStatus = 93,
  kReleaseTensorTypeAndShapeInfo = 99,
  kGetAttributeArrayInt64 = 163,
  kGetInputCount = 230,
  kGetConstantInput = 249,
  kParallelFor = 274,
};

enum OrtErrorCode { kFail = 1, kInvalidArgument = 2 };
enum OrtElementType { kAnyType = 0, kFloat = 1, kUint8 = 2, kInt32 = 6 };
enum OrtCharacteristic { kRequired = 0, kVariadic = 2 };

// The runtime reads as many fields as `version` says. From 16 on it uses the callbacks that return
// a status, if the old ones are null.
struct OrtCustomOp {
  uint32_t version;
  void* (*create_kernel)(const OrtCustomOp*, const OrtFunction*, const OrtKernelInfo*);
  const char* (*name)(const OrtCustomOp*);
  const char* (*provider)(const OrtCustomOp*);  // null: the CPU
  int (*input_type)(const OrtCustomOp*, size_t index);
  size_t (*input_count)(const OrtCustomOp*);
  int (*output_type)(const OrtCustomOp*, size_t index);
  size_t (*output_count)(const OrtCustomOp*);
  void (*kernel_compute)(void* kernel, OrtKernelContext*);
  void (*kernel_destroy)(void* kernel);
  int (*input_characteristic)(const OrtCustomOp*, size_t index);
  int (*output_characteristic)(const OrtCustomOp*, size_t index);
  int (*input_memory_type)(const OrtCustomOp*, size_t index);
  int (*variadic_input_min_arity)(const OrtCustomOp*);
  int (*variadic_input_homogeneity)(const OrtCustomOp*);
  int (*variadic_output_min_arity)(const OrtCustomOp*);
  int (*variadic_output_homogeneity)(const OrtCustomOp*);
  OrtStatus* (*create_kernel_v2)(const OrtCustomOp*, const OrtFunction*, const OrtKernelInfo*,
                                 void** kernel);
  OrtStatus* (*kernel_compute_v2)(void* kernel, OrtKernelContext*);
  // InferOutputShapeFn, GetStartVersion, GetEndVersion, GetMayInplace, ReleaseMayInplace,
  // GetAliasMap, ReleaseAliasMap
  OrtFunction unused[7];
};
static_assert(sizeof(OrtCustomOp) == 208, "of the layout in onnxruntime_c_api.h");

}  // namespace bnn::ort
