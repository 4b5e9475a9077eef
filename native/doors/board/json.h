// One JSON object on one line, written as it goes.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>

namespace bnn {

using MaybeInteger = std::optional<int64_t>;
using MaybeNumber = std::optional<double>;

class JsonLine {
 public:
  explicit JsonLine(FILE* to) : to_(to) { std::fputc('{', to_); }

  void text(const char* key, const char* value);  // null when value is null
  void integer(const char* key, int64_t value);
  void integer(const char* key, MaybeInteger value);  // null when there is none
  void number(const char* key, MaybeNumber value);
  void boolean(const char* key, bool value);
  void begin_object(const char* key);
  void end_object();
  void begin_array(const char* key);
  void item(int64_t value);
  void item(double value);
  void item_text(const char* value);
  void begin_item();  // an object inside the array
  void end_item() { end_object(); }
  void end_array();
  void end();  // closes the line and flushes it

 private:
  void comma();
  void key(const char* name);
  void string(const char* value);

  FILE* to_;
  bool first_ = true;
};

}  // namespace bnn
