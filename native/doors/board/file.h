#pragma once

#include <cstddef>

#include "engine/memory.h"

namespace bnn {

// A whole file in 64-byte aligned memory. Null when it cannot be read; the reason goes to stderr.
Memory read_file(const char* path, size_t* size);

}  // namespace bnn
