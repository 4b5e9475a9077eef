// libbnn_onnxruntime.so: `SessionOptions.register_custom_ops_library` finds this one function.
#include "doors/onnxruntime/api.h"

extern "C" __attribute__((visibility("default"))) bnn::ort::OrtStatus* RegisterCustomOps(
    bnn::ort::OrtSessionOptions* options, const bnn::ort::OrtApiBase* base) {
  bnn::ort::OrtStatus* status = bnn::ort::open_api(base);
  return status ? status : bnn::ort::add_domain(options);
}
