// What both operators share: an operator of float32 output whose kernel is an object with
// make(info) and compute(context).
#pragma once

#include <memory>
#include <new>

#include "doors/onnxruntime/api.h"

namespace bnn::ort {

template <class Kernel>
OrtCustomOp describe_op() {
  OrtCustomOp op{};
  op.version = kApiVersion;
  op.name = [](const OrtCustomOp*) { return Kernel::kName; };
  op.provider = [](const OrtCustomOp*) -> const char* { return nullptr; };
  op.input_count = [](const OrtCustomOp*) { return Kernel::kInputs; };
  op.input_type = [](const OrtCustomOp*, size_t i) -> int { return Kernel::kInputTypes[i]; };
  op.input_characteristic = [](const OrtCustomOp*, size_t i) -> int {
    return Kernel::kInputTypes[i] == kAnyType ? kVariadic : kRequired;
  };
  op.input_memory_type = [](const OrtCustomOp*, size_t) { return 0; };
  op.variadic_input_min_arity = [](const OrtCustomOp*) { return 1; };
  op.variadic_input_homogeneity = [](const OrtCustomOp*) { return 0; };
  op.output_count = [](const OrtCustomOp*) -> size_t { return 1; };
  op.output_type = [](const OrtCustomOp*, size_t) -> int { return kFloat; };
  op.output_characteristic = [](const OrtCustomOp*, size_t) -> int { return kRequired; };
  op.create_kernel_v2 = [](const OrtCustomOp*, const OrtFunction*, const OrtKernelInfo* info,
                           void** result) -> OrtStatus* {
    std::unique_ptr<Kernel> kernel(new (std::nothrow) Kernel);
    if (!kernel) return no_memory(Kernel::kName);
    BNN_ORT_TRY(kernel->make(info));
    *result = kernel.release();
    return nullptr;
  };
  op.kernel_compute_v2 = [](void* kernel, OrtKernelContext* context) {
    return static_cast<Kernel*>(kernel)->compute(context);
  };
  op.kernel_destroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  return op;
}

}  // namespace bnn::ort
