#include "doors/board/sysfs.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bnn {

bool read_line(const char* path, char line[kLineBytes]) {
  FILE* file = std::fopen(path, "r");
  if (!file) return false;
  const bool read = std::fgets(line, kLineBytes, file) != nullptr;
  std::fclose(file);
  if (read) line[std::strcspn(line, "\n")] = '\0';
  return read && *line;
}

bool read_field(const char* path, const char* key, char separator, char value[kLineBytes]) {
  FILE* file = std::fopen(path, "r");
  if (!file) return false;
  const size_t length = std::strlen(key);
  char line[kLineBytes];
  bool found = false;
  while (!found && std::fgets(line, sizeof line, file)) {
    if (std::strncmp(line, key, length) != 0) continue;
    const char* rest = line + length + std::strspn(line + length, " \t");
    if (*rest != separator) continue;
    const char* start = rest + 1 + std::strspn(rest + 1, " \t\"");
    const size_t size = std::strcspn(start, "\"\n");
    std::memcpy(value, start, size);
    value[size] = '\0';
    found = true;
  }
  std::fclose(file);
  return found && *value;
}

std::optional<int64_t> read_kib_field(const char* path, const char* key) {
  char value[kLineBytes];
  if (!read_field(path, key, ':', value)) return std::nullopt;
  value[std::strcspn(value, " ")] = '\0';
  const std::optional<int64_t> kib = parse_integer(value);
  if (!kib) return std::nullopt;
  return *kib * 1024;
}

std::optional<int64_t> parse_integer(const char* text, int base) {
  char* end = nullptr;
  errno = 0;
  const unsigned long long magnitude = std::strtoull(text + (*text == '-'), &end, base);
  if (errno || end == text || *end || magnitude > uint64_t(INT64_MAX)) return std::nullopt;
  return *text == '-' ? -int64_t(magnitude) : int64_t(magnitude);
}

void Sysfs::path(char path[kLineBytes], const char* format, ...) const {
  const int used = std::snprintf(path, kLineBytes, "%s/", root_);
  if (used < 0 || size_t(used) >= kLineBytes) return;
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(path + used, kLineBytes - size_t(used), format, arguments);
  va_end(arguments);
}

bool Sysfs::read_core(int core, const char* name, char line[kLineBytes]) const {
  char file[kLineBytes];
  path(file, "devices/system/cpu/cpu%d/%s", core, name);
  return read_line(file, line);
}

std::optional<int64_t> Sysfs::core_integer(int core, const char* name) const {
  char line[kLineBytes];
  return read_core(core, name, line) ? parse_integer(line) : std::nullopt;
}

bool Sysfs::write_core(int core, const char* name, const char* text) const {
  char file[kLineBytes];
  path(file, "devices/system/cpu/cpu%d/%s", core, name);
  const int descriptor = open(file, O_WRONLY | O_CLOEXEC | O_TRUNC);
  if (descriptor < 0) return false;
  const ssize_t size = ssize_t(std::strlen(text));
  const bool written = write(descriptor, text, size_t(size)) == size;
  const int why = errno;
  close(descriptor);
  errno = why;
  return written;
}

bool Sysfs::core_exists(int core) const {
  char folder[kLineBytes];
  path(folder, "devices/system/cpu/cpu%d", core);
  return access(folder, F_OK) == 0;
}

// A core that cannot be switched off has no such file.
bool Sysfs::core_online(int core) const { return core_integer(core, "online").value_or(1) == 1; }

}  // namespace bnn
