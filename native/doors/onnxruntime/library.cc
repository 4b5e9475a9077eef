// libbnn_onnxruntime.so: `SessionOptions.register_custom_ops_library` finds this one function.
#include "doors/onnxruntime/api.h"

extern "C" __attribute__((visibility("default"))) bnn::ort::OrtStatus* RegisterCustomOps(
    bnn::ort::OrtSessionOptions* options, const bnn::ort::OrtApiBase* base) {
  using namespace bnn::ort;
  OrtStatus* status = nullptr;
  if (!open_api(base, &status)) return status;
  const OrtCustomOp* const ops[] = {&kNetworkOp, &kBinaryConv2dOp};
  return add_domain(options, "bnn_deploy", ops, 2);
}
