// A command line of `--name value` options and `--name` flags.
#pragma once

#include <cstdint>

namespace bnn {

enum Exit { kSuccess = 0, kFailure = 1, kUsage = 2 };

class Arguments {
 public:
  Arguments(int count, char** words) : count_(count), words_(words) {}

  // Each marks its option as known. On a malformed value the message is printed and good() is
  // false.
  const char* text(const char* name, const char* otherwise);
  int64_t integer(const char* name, int64_t otherwise, int64_t low, int64_t high);
  bool flag(const char* name);

  // After the options were asked for: false when a word on the line belongs to none of them, or a
  // value was malformed; the message has been printed to stderr.
  bool good();

 private:
  static constexpr int kMaxWords = 64;

  const char* value_of(const char* name);
  void complain(const char* format, const char* name, const char* value);

  int count_;
  char** words_;
  bool known_[kMaxWords] = {};
  bool good_ = true;
};

}  // namespace bnn
