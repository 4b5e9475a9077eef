// What a runtime looks up in the library (load_delegate, --external_delegate_path).
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "doors/litert/delegate.h"

namespace bnn::litert {
namespace {

using ReportError = void (*)(const char*);

void report(ReportError report_error, const Status& status) {
  char text[sizeof status.message + 16];
  std::snprintf(text, sizeof text, "bnn_deploy: %s", status.message);
  if (report_error) return report_error(text);
  std::fprintf(stderr, "%s\n", text);  // TensorFlow's own loader for C++ passes none
}

bool read_option(const char* key, const char* value, DelegateOptions* options, Status* status) {
  if (!std::strcmp(key, "threads")) {
    char* end = nullptr;
    const long threads = std::strtol(value, &end, 10);
    if (end != value && !*end && threads >= 1 && threads <= kMaxThreads) {
      options->threads = int(threads);
      return true;
    }
    return status->fail(Code::kUnsupported, "option threads must be 1 to %d, not '%s'", kMaxThreads,
                        value);
  }
  if (!std::strcmp(key, "kernel")) {
    KernelChoice choice{};
    std::snprintf(options->kernel, sizeof options->kernel, "%s", value);
    return KernelChoice::parse(value, &choice, status);
  }
  if (!std::strcmp(key, "profile")) {
    options->profile = value;
    return true;
  }
  return status->fail(Code::kUnsupported,
                      "unknown option '%s': there are threads, kernel and profile", key);
}

}  // namespace
}  // namespace bnn::litert

#define BNN_EXPORT extern "C" __attribute__((visibility("default")))

BNN_EXPORT bnn::litert::TfLiteDelegate* tflite_plugin_create_delegate(
    const char* const* keys, const char* const* values, size_t count,
    void (*report_error)(const char*)) {
  using namespace bnn::litert;
  bnn::Status status;
  DelegateOptions options;
  const int pairs = int(count);  // Python passes an int
  bool good = true;
  for (int i = 0; good && i < pairs; ++i) good = read_option(keys[i], values[i], &options, &status);
  std::unique_ptr<Delegate> delegate = good ? Delegate::make(options, &status) : nullptr;
  if (!delegate) report(report_error, status);
  return delegate ? delegate.release()->handle() : nullptr;
}

BNN_EXPORT void tflite_plugin_destroy_delegate(bnn::litert::TfLiteDelegate* handle) {
  if (handle) delete bnn::litert::Delegate::of(handle);  // null after a create that failed
}
