#include "doors/board/arguments.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bnn {

void Arguments::complain(const char* format, const char* name, const char* value) {
  std::fputs("bnn-board: ", stderr);
  std::fprintf(stderr, format, name, value);
  std::fputc('\n', stderr);
  good_ = false;
}

const char* Arguments::value_of(const char* name) {
  const char* value = nullptr;
  for (int i = 0; i < count_ && i < kMaxWords; ++i) {
    if (known_[i] || std::strcmp(words_[i], name) != 0) continue;
    known_[i] = true;
    if (i + 1 >= count_ || i + 1 >= kMaxWords) {
      complain("%s needs a value%s", name, "");
      return nullptr;
    }
    known_[i + 1] = true;
    value = words_[++i];
  }
  return value;
}

const char* Arguments::text(const char* name, const char* otherwise) {
  const char* value = value_of(name);
  return value ? value : otherwise;
}

int64_t Arguments::integer(const char* name, int64_t otherwise, int64_t low, int64_t high) {
  const char* value = value_of(name);
  if (!value) return otherwise;
  char* end = nullptr;
  errno = 0;
  const long long number = std::strtoll(value, &end, 10);
  if (errno || end == value || *end || number < low || number > high) {
    complain("%s: not a number in its range: '%s'", name, value);
    return otherwise;
  }
  return number;
}

bool Arguments::flag(const char* name) {
  bool found = false;
  for (int i = 0; i < count_ && i < kMaxWords; ++i) {
    if (known_[i] || std::strcmp(words_[i], name) != 0) continue;
    known_[i] = found = true;
  }
  return found;
}

bool Arguments::good() {
  for (int i = 0; i < count_; ++i) {
    if (i >= kMaxWords || !known_[i]) {
      complain("unknown option '%s'%s; see bnn-board --help", words_[i], "");
      break;
    }
  }
  return good_;
}

}  // namespace bnn
