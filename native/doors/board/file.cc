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

OutputFile::~OutputFile() {
  if (file_) std::fclose(file_);
}

bool OutputFile::fail() {
  std::fprintf(stderr, "bnn-board: %s: cannot be written: %s\n", path_, std::strerror(errno));
  return false;
}

bool OutputFile::open(const char* path) {
  path_ = path;
  file_ = std::fopen(path, "wb");
  return file_ || fail();
}

bool OutputFile::write(const void* bytes, size_t size) {
  return std::fwrite(bytes, 1, size, file_) == size || fail();
}

bool OutputFile::close() {
  FILE* file = file_;
  file_ = nullptr;
  return std::fclose(file) == 0 || fail();
}

}  // namespace bnn
