#include "doors/board/file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace bnn {

Memory read_file(const char* path, size_t* size) {
  FILE* file = std::fopen(path, "rb");
  Memory memory;
  long length = -1;
  if (file && std::fseek(file, 0, SEEK_END) == 0) length = std::ftell(file);
  if (length >= 0 && std::fseek(file, 0, SEEK_SET) == 0) {
    memory = allocate(size_t(length));
    *size = size_t(length);
    if (memory && std::fread(memory.get(), 1, *size, file) != *size) memory.reset();
  }
  if (!memory)
    std::fprintf(stderr, "bnn-board: %s: cannot be read: %s\n", path, std::strerror(errno));
  if (file) std::fclose(file);
  return memory;
}

}  // namespace bnn
