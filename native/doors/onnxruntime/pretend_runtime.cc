#include "doors/onnxruntime/pretend_runtime.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace bnn::ort {

void OrtValue::set(int type, std::vector<int64_t> dims, const void* data, size_t count) {
  info = {type, std::move(dims)};
  bytes.reset(static_cast<char*>(std::malloc(count)));
  if (data && count) std::memcpy(bytes.get(), data, count);
  if (!data) std::memset(bytes.get(), 0, count);
}

namespace {

size_t elements_of(const OrtTensorInfo& info) {
  size_t count = 1;
  for (int64_t size : info.dims) count *= size_t(size);
  return count;
}

OrtStatus* refuse(const char* message) { return new OrtStatus{message}; }

const OrtKernelInfo::Attribute* find(const OrtKernelInfo* info, const char* name) {
  for (const auto& attribute : info->attributes) {
    if (attribute.name == name) return &attribute;
  }
  return nullptr;
}

OrtStatus* create_status(int, const char* message) { return refuse(message); }
void release_status(OrtStatus* status) { delete status; }

OrtStatus* get_data(OrtValue* value, void** data) {
  *data = value->bytes.get();
  return nullptr;
}

OrtStatus* get_info(const OrtValue* value, OrtTensorInfo** info) {
  *info = new OrtTensorInfo(value->info);
  return nullptr;
}
void release_info(OrtTensorInfo* info) { delete info; }

OrtStatus* get_type(const OrtTensorInfo* info, int* type) {
  *type = info->type;
  return nullptr;
}
OrtStatus* get_rank(const OrtTensorInfo* info, size_t* rank) {
  *rank = info->dims.size();
  return nullptr;
}
OrtStatus* get_dims(const OrtTensorInfo* info, int64_t* dims, size_t rank) {
  for (size_t i = 0; i < rank && i < info->dims.size(); ++i) dims[i] = info->dims[i];
  return nullptr;
}
OrtStatus* get_elements(const OrtTensorInfo* info, size_t* count) {
  *count = elements_of(*info);
  return nullptr;
}

OrtStatus* get_int(const OrtKernelInfo* info, const char* name, int64_t* value) {
  const auto* attribute = find(info, name);
  if (!attribute || attribute->values.size() != 1) return refuse("no such integer");
  *value = attribute->values[0];
  return nullptr;
}

OrtStatus* get_ints(const OrtKernelInfo* info, const char* name, int64_t* values, size_t* count) {
  const auto* attribute = find(info, name);
  if (!attribute) return refuse("no such integers");
  const size_t room = *count;
  *count = attribute->values.size();
  if (!values) return nullptr;
  if (room < *count) return refuse("too many integers");
  std::memcpy(values, attribute->values.data(), *count * sizeof *values);
  return nullptr;
}

OrtStatus* get_input_count(const OrtKernelInfo* info, size_t* count) {
  *count = info->inputs.size();
  return nullptr;
}

OrtStatus* get_constant_input(const OrtKernelInfo* info, size_t index, int* constant,
                              const OrtValue** value) {
  *constant = index < info->inputs.size() && info->inputs[index].constant;
  *value = *constant ? &info->inputs[index] : nullptr;
  return nullptr;
}

OrtStatus* get_input(const OrtKernelContext* context, size_t index, const OrtValue** value) {
  *value = index < context->inputs->size() ? &(*context->inputs)[index] : nullptr;
  return nullptr;
}

OrtStatus* get_output(OrtKernelContext* context, size_t, const int64_t* dims, size_t rank,
                      OrtValue** value) {
  OrtTensorInfo info{kFloat, {dims, dims + rank}};
  const size_t bytes = elements_of(info) * sizeof(float);
  context->output.set(kFloat, info.dims, nullptr, bytes);
  *value = &context->output;
  return nullptr;
}

OrtStatus* parallel_for(const OrtKernelContext* context, void (*work)(void*, size_t), size_t count,
                        size_t, void* data) {
  std::atomic<size_t> next{0};
  std::atomic<int> missing{context->threads};
  const auto take = [&] {
    for (--missing; missing > 0;) std::this_thread::yield();  // all are awake, as in a pool
    for (size_t i = next++; i < count; i = next++) work(data, count - 1 - i);
  };
  std::vector<std::thread> others;
  for (int i = 1; i < context->threads; ++i) others.emplace_back(take);
  take();
  for (std::thread& other : others) other.join();
  return nullptr;
}

template <class Function>
OrtFunction slot(Function* function) {
  return reinterpret_cast<OrtFunction>(function);
}

const OrtFunction* table(uint32_t) {
  static OrtFunction slots[kParallelFor + 1] = {};
  slots[kCreateStatus] = slot(create_status);
  slots[kGetTensorMutableData] = slot(get_data);
  slots[kGetTensorElementType] = slot(get_type);
  slots[kGetDimensionsCount] = slot(get_rank);
  slots[kGetDimensions] = slot(get_dims);
  slots[kGetTensorShapeElementCount] = slot(get_elements);
  slots[kGetTensorTypeAndShape] = slot(get_info);
  slots[kGetAttributeInt64] = slot(get_int);
  slots[kGetInput] = slot(get_input);
  slots[kGetOutput] = slot(get_output);
  slots[kReleaseStatus] = slot(release_status);
  slots[kReleaseTensorTypeAndShapeInfo] = slot(release_info);
  slots[kGetAttributeArrayInt64] = slot(get_ints);
  slots[kGetInputCount] = slot(get_input_count);
  slots[kGetConstantInput] = slot(get_constant_input);
  slots[kParallelFor] = slot(parallel_for);
  return slots;
}

}  // namespace

size_t OrtValue::elements() const { return elements_of(info); }

const OrtApiBase* pretend_api() {
  static const OrtApiBase base = {table, [] { return "1.17"; }};
  return &base;
}

}  // namespace bnn::ort
