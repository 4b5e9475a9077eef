// The part of TensorFlow Lite's C ABI that is used here, so that neither its headers nor a link to
// it are needed: fields in the order of core/c/common.h and builtin_op_data.h, which only ever grow
// at their ends. One library serves TensorFlow Lite, tflite-runtime and LiteRT.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bnn::litert {

struct TfLiteContext;
struct TfLiteDelegate;
struct TfLiteNode;

enum TfLiteStatus : int { kTfLiteOk = 0, kTfLiteError = 1 };
enum TfLiteType : int {
  kFloat32 = 1,
  kInt32 = 2,
  kBool = 6,
  kInt8 = 9,
};
enum TfLiteAllocation : int { kMmapRo = 1 };  // the model's own bytes: a constant
enum TfLitePadding : int { kSame = 1, kValid = 2 };
enum TfLiteActivation : int { kNoActivation = 0, kRelu = 1, kReluN1To1 = 2, kRelu6 = 3 };
enum : int { kOptionalTensor = -1 };

enum TfLiteBuiltin : int {
  kBuiltinAdd = 0,
  kBuiltinAveragePool2d = 1,
  kBuiltinConcatenation = 2,
  kBuiltinConv2d = 3,
  kBuiltinFullyConnected = 9,
  kBuiltinRelu = 19,
  kBuiltinReshape = 22,
  kBuiltinCustom = 32,
  kBuiltinMean = 40,
  kBuiltinSub = 41,
  kBuiltinPrelu = 54,
  kBuiltinPadV2 = 60,
};

struct TfLiteIntArray {
  int size;
  int data[];
};

struct TfLiteTensor {
  TfLiteType type;
  void* data;
  TfLiteIntArray* dims;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  TfLiteAllocation allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  TfLiteDelegate* delegate;
  int buffer_handle;
  bool data_is_stale, is_variable;
  struct {
    int type;
    void* params;
  } quantization;
  void* sparsity;
  const TfLiteIntArray* dims_signature;
};
static_assert(sizeof(TfLiteTensor) == 112, "of the layout in common.h");

struct TfLiteNode {
  TfLiteIntArray *inputs, *outputs, *intermediates, *temporaries;
  void* user_data;                  // what the kernel's init returned
  void* builtin_data;               // options of a builtin operator
  const void* custom_initial_data;  // options of a custom operator
  int custom_initial_data_size;
  TfLiteDelegate* delegate;
  bool might_have_side_effect;
};

// The runtime takes it by value; one that knows fewer fields reads the first ones.
struct TfLiteRegistration {
  void* (*init)(TfLiteContext*, const char* buffer, size_t length);
  void (*free)(TfLiteContext*, void* kernel);
  TfLiteStatus (*prepare)(TfLiteContext*, TfLiteNode*);
  TfLiteStatus (*invoke)(TfLiteContext*, TfLiteNode*);
  const char* (*profiling_string)(const TfLiteContext*, const TfLiteNode*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* registration_external;
  void* async_kernel;
  uint64_t inplace_operator;
};
static_assert(sizeof(TfLiteRegistration) == 88, "of the layout in common.h");

// The head of the runtime's own struct.
struct TfLiteContext {
  size_t tensors_size;
  TfLiteStatus (*GetExecutionPlan)(TfLiteContext*, TfLiteIntArray** plan);
  TfLiteTensor* tensors;
  void* impl;
  TfLiteStatus (*ResizeTensor)(TfLiteContext*, TfLiteTensor*, TfLiteIntArray* dims);  // takes dims
  void (*ReportError)(TfLiteContext*, const char* format, ...);
  TfLiteStatus (*AddTensors)(TfLiteContext*, int count, int* first);
  TfLiteStatus (*GetNodeAndRegistration)(TfLiteContext*, int node, TfLiteNode**,
                                         TfLiteRegistration**);
  TfLiteStatus (*ReplaceNodeSubsetsWithDelegateKernels)(TfLiteContext*, TfLiteRegistration,
                                                        const TfLiteIntArray* nodes,
                                                        TfLiteDelegate*);
  int recommended_num_threads;
};

struct TfLiteDelegate {
  void* data;
  TfLiteStatus (*Prepare)(TfLiteContext*, TfLiteDelegate*);
  TfLiteStatus (*CopyFromBufferHandle)(TfLiteContext*, TfLiteDelegate*, int, TfLiteTensor*);
  TfLiteStatus (*CopyToBufferHandle)(TfLiteContext*, TfLiteDelegate*, int, TfLiteTensor*);
  void (*FreeBufferHandle)(TfLiteContext*, TfLiteDelegate*, int*);
  int64_t flags;
  void* opaque_delegate_builder;
};
// Without it the runtime prepares the graph before it asks a delegate, and stops at an operator
// that it does not know.
constexpr int64_t kAllowDynamicTensors = 1;

// What a kernel's init gets as its buffer.
struct TfLiteDelegateParams {
  TfLiteDelegate* delegate;
  TfLiteIntArray *nodes_to_replace, *input_tensors, *output_tensors;
};

// builtin_data, as far as it is read.
struct TfLiteElementwiseParams {  // ADD, SUB
  TfLiteActivation activation;
};
struct TfLitePoolParams {
  TfLitePadding padding;
  int stride_width, stride_height, filter_width, filter_height;
  TfLiteActivation activation;
};
struct TfLiteConcatenationParams {
  int axis;
  TfLiteActivation activation;
};
struct TfLiteConvParams {
  TfLitePadding padding;
  int stride_width, stride_height;
  TfLiteActivation activation;
  int dilation_width_factor, dilation_height_factor;
};
struct TfLiteFullyConnectedParams {
  TfLiteActivation activation;
  int weights_format;  // 0: [outputs, inputs]
  bool keep_num_dims;
};
struct TfLiteReducerParams {
  bool keep_dims;
};

}  // namespace bnn::litert
