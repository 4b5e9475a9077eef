#pragma once

#include <cstddef>
#include <cstdio>

#include "engine/memory.h"

namespace bnn {

// A whole file in 64-byte aligned memory. Null when it cannot be read; the reason goes to stderr.
Memory read_file(const char* path, size_t* size);

// A file that is written from its beginning. Every function is false when it fails; the reason goes
// to stderr.
class OutputFile {
 public:
  OutputFile() = default;
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  bool open(const char* path);
  bool write(const void* bytes, size_t size);
  bool close();  // what was buffered may still find no space

 private:
  bool fail();

  FILE* file_ = nullptr;
  const char* path_ = nullptr;
};

}  // namespace bnn
