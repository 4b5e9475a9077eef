#include "doors/board/json.h"

namespace bnn {

void JsonLine::comma() {
  if (!first_) std::fputs(", ", to_);
  first_ = false;
}

void JsonLine::string(const char* value) {
  std::fputc('"', to_);
  for (const char* c = value; *c; ++c) {
    const unsigned char byte = static_cast<unsigned char>(*c);
    if (byte == '"' || byte == '\\') {
      std::fprintf(to_, "\\%c", byte);
    } else if (byte < 0x20) {
      std::fprintf(to_, "\\u%04x", byte);
    } else {
      std::fputc(byte, to_);
    }
  }
  std::fputc('"', to_);
}

void JsonLine::key(const char* name) {
  comma();
  string(name);
  std::fputs(": ", to_);
}

void JsonLine::text(const char* name, const char* value) {
  key(name);
  if (value) {
    string(value);
  } else {
    std::fputs("null", to_);
  }
}

void JsonLine::integer(const char* name, int64_t value) {
  key(name);
  std::fprintf(to_, "%lld", static_cast<long long>(value));
}

void JsonLine::integer(const char* name, MaybeInteger value) {
  if (value) return integer(name, *value);
  text(name, nullptr);
}

void JsonLine::number(const char* name, MaybeNumber value) {
  if (!value) return text(name, nullptr);
  key(name);
  std::fprintf(to_, "%.9g", *value);
}

void JsonLine::boolean(const char* name, bool value) {
  key(name);
  std::fputs(value ? "true" : "false", to_);
}

void JsonLine::begin_object(const char* name) {
  key(name);
  std::fputc('{', to_);
  first_ = true;
}

void JsonLine::end_object() {
  std::fputc('}', to_);
  first_ = false;
}

void JsonLine::begin_array(const char* name) {
  key(name);
  std::fputc('[', to_);
  first_ = true;
}

void JsonLine::item(int64_t value) {
  comma();
  std::fprintf(to_, "%lld", static_cast<long long>(value));
}

// Nine digits bring a float32 back bit for bit.
void JsonLine::item(double value) {
  comma();
  std::fprintf(to_, "%.9g", value);
}

void JsonLine::item_text(const char* value) {
  comma();
  string(value);
}

void JsonLine::begin_item() {
  comma();
  std::fputc('{', to_);
  first_ = true;
}

void JsonLine::end_array() {
  std::fputc(']', to_);
  first_ = false;
}

void JsonLine::end() {
  std::fputs("}\n", to_);
  std::fflush(to_);
}

}  // namespace bnn
