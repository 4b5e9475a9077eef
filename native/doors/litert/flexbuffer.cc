#include "doors/litert/flexbuffer.h"

#include <cstring>

namespace bnn::litert {
namespace {

// Types, each in the upper six bits of a type byte; the lower two are the log2 of a width.
enum FlexType { kInt = 1, kUint = 2, kIndirectInt = 6, kIndirectUint = 7, kMap = 9, kBool = 26 };

size_t width_of(uint8_t type) { return size_t(1) << (type & 3); }

int64_t sign_extended(uint64_t value, size_t width) {
  const int unused = int(64 - 8 * width);
  return int64_t(value << unused) >> unused;
}

}  // namespace

bool FlexMap::read(size_t at, size_t width, uint64_t* value) const {
  if (width != 1 && width != 2 && width != 4 && width != 8) return false;
  if (at > size_ || size_ - at < width) return false;
  *value = 0;
  std::memcpy(value, data_ + at, width);
  return true;
}

bool FlexMap::follow(size_t at, size_t width, size_t* place) const {
  uint64_t offset = 0;
  if (!read(at, width, &offset) || offset > at) return false;
  *place = at - size_t(offset);
  return true;
}

// ... | keys offset, keys width, count | values | a type byte for each | ... | root | its type |
// its width
bool FlexMap::parse(const void* data, size_t size) {
  *this = FlexMap();
  data_ = static_cast<const uint8_t*>(data);
  size_ = size;
  if (!data || size < 3) return false;
  const size_t root_width = data_[size - 1];
  const uint8_t type = data_[size - 2];
  if (type >> 2 != kMap || root_width > size - 2) return false;
  width_ = width_of(type);
  uint64_t count = 0, key_width = 0;
  if (!follow(size - 2 - root_width, root_width, &values_) || values_ < 3 * width_ ||
      !read(values_ - width_, width_, &count) || !read(values_ - 2 * width_, width_, &key_width) ||
      !follow(values_ - 3 * width_, width_, &keys_)) {
    return false;
  }
  if (count > (size - values_) / (width_ + 1)) return false;
  key_width_ = size_t(key_width);
  count_ = size_t(count);
  return true;
}

bool FlexMap::is_key(size_t index, const char* key) const {
  size_t place = 0;
  const size_t length = std::strlen(key) + 1;
  return follow(keys_ + index * key_width_, key_width_, &place) && size_ - place >= length &&
         std::memcmp(data_ + place, key, length) == 0;
}

bool FlexMap::integer_at(size_t index, int64_t* value) const {
  const uint8_t type = data_[values_ + count_ * width_ + index];
  size_t place = values_ + index * width_, width = width_;
  uint64_t found = 0;
  const int kind = type >> 2;
  if (kind == kIndirectInt || kind == kIndirectUint) {
    if (!follow(place, width_, &place)) return false;
    width = width_of(type);
  } else if (kind != kInt && kind != kUint && kind != kBool) {
    return false;
  }
  if (!read(place, width, &found)) return false;
  const bool is_signed = kind == kInt || kind == kIndirectInt;
  *value = is_signed ? sign_extended(found, width) : int64_t(found);
  return true;
}

bool FlexMap::find(const char* key, int64_t* value) const {
  for (size_t i = 0; i < count_; ++i) {
    if (is_key(i, key)) return integer_at(i, value);
  }
  return false;
}

}  // namespace bnn::litert
