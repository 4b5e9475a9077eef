// For tests: as much of ONNX Runtime as our library calls, so that tests and libFuzzer reach the
// operators without a runtime around them, and every tensor is exactly as long as it says.
#pragma once

#include <string>
#include <vector>

#include "doors/onnxruntime/abi.h"
#include "engine/memory.h"

namespace bnn::ort {

struct OrtStatus {
  std::string message;
};

struct OrtTensorInfo {
  int type;
  std::vector<int64_t> dims;
};

struct OrtValue {
  OrtTensorInfo info;
  Memory bytes;  // exactly so many: a read past the end is seen
  bool constant = true;

  // Of `count` bytes copied from `data`, or zeroed when that is null.
  void set(int type, std::vector<int64_t> dims, const void* data, size_t count);
  size_t elements() const;
};

struct OrtKernelInfo {  // a node
  struct Attribute {
    std::string name;
    std::vector<int64_t> values;
  };
  std::vector<Attribute> attributes;
  std::vector<OrtValue> inputs;
};

struct OrtKernelContext {
  std::vector<OrtValue>* inputs;
  OrtValue output;
  int threads;  // that share a ParallelFor
};

// The table of functions.
const OrtApiBase* pretend_api();

}  // namespace bnn::ort
