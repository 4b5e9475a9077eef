// The kernel's small text files. /sys can be replaced by a folder of the same layout, so that tests
// see boards that they do not stand on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace bnn {

constexpr size_t kLineBytes = 256;
constexpr const char* kSysfs = "/sys";

// First line of a small file, without its newline. False when it cannot be read or is empty.
bool read_line(const char* path, char line[kLineBytes]);

// Value of the first line `key : value` or `key="value"` of a file. False when there is none.
bool read_field(const char* path, const char* key, char separator, char value[kLineBytes]);

// A field of /proc/meminfo or /proc/self/status that is written in kB, in bytes.
std::optional<int64_t> read_kib_field(const char* path, const char* key);

// A whole decimal or, with `base` 16, hexadecimal number.
std::optional<int64_t> parse_integer(const char* text, int base = 10);

class Sysfs {
 public:
  explicit Sysfs(const char* root) : root_(root) {}

  const char* root() const { return root_; }

  // The path of a file of printf's format `format`, relative to the root.
  __attribute__((format(printf, 3, 4))) void path(char path[kLineBytes], const char* format,
                                                  ...) const;

  // The core's file devices/system/cpu/cpuN/NAME.
  bool read_core(int core, const char* name, char line[kLineBytes]) const;
  std::optional<int64_t> core_integer(int core, const char* name) const;
  // False, with errno set, when the system refuses.
  bool write_core(int core, const char* name, const char* text) const;

  bool core_exists(int core) const;  // on or off
  bool core_online(int core) const;

 private:
  const char* root_;
};

}  // namespace bnn
