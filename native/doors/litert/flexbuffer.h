// Reader of the options of Larq Compute Engine's operators: a FlexBuffer whose root is a map of
// integers (google.github.io/flatbuffers/flexbuffers). Any bytes are fine: what is not there or not
// inside is not found.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bnn::litert {

class FlexMap {
 public:
  // False: the bytes are no FlexBuffer with a map at its root. They must outlive this view.
  bool parse(const void* data, size_t size);

  // The integer (or truth value) of that key. False: there is none.
  bool find(const char* key, int64_t* value) const;

 private:
  // Unsigned integer of 1, 2, 4 or 8 bytes at a place; false: it is not inside.
  bool read(size_t at, size_t width, uint64_t* value) const;
  // The place that the offset at `at` leads back to.
  bool follow(size_t at, size_t width, size_t* place) const;
  bool is_key(size_t index, const char* key) const;
  bool integer_at(size_t index, int64_t* value) const;

  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t values_ = 0, width_ = 0, count_ = 0;  // of the map
  size_t keys_ = 0, key_width_ = 0;
};

}  // namespace bnn::litert
