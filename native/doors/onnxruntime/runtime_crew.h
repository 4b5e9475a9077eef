// The threads of ONNX Runtime as those of an engine.
#pragma once

#include "doors/onnxruntime/api.h"
#include "engine/crew.h"

namespace bnn::ort {

// How many threads take part in a parallel_for, the session's intra_op_num_threads: the API does
// not say, so all that come within half a millisecond are counted. At most kMaxThreads; at least 1.
int count_threads(const OrtKernelContext* context);

class RuntimeCrew final : public Crew {
 public:
  RuntimeCrew(const OrtKernelContext* context, int threads) : context_(context), count_(threads) {}

  void run(Task task, void* context) override;
  OrtStatus* status() const { return status_; }  // the first error

 private:
  const OrtKernelContext* context_;
  int count_;
  OrtStatus* status_ = nullptr;
};

}  // namespace bnn::ort
