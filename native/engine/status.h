// How the engine says that something went wrong: a code and a text. Nothing here throws, prints or
// aborts.
#pragma once

#include <cstdarg>
#include <cstdio>

namespace bnn {

enum class Code {
  kOk,
  kMalformed,      // the file is truncated, altered or of another version
  kUnknownKernel,  // no kernel or ISA of that name
  kUnsupported,    // this CPU, or this step's shape, cannot use the kernel that was asked for
  kNoMemory,
};

struct Status {
  Code code = Code::kOk;
  char message[320] = "";

  bool ok() const { return code == Code::kOk; }

  // Sets code and text (printf's format); returns false, so that a check can `return fail(...)`.
  __attribute__((format(printf, 3, 4))) bool fail(Code why, const char* format, ...) {
    code = why;
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return false;
  }
};

}  // namespace bnn
