// Reader of .bnn files (docs/bnn-format.md): a view of the bytes, checked whole before anything is
// used. Every offset, size, shape and the checksum; a malformed file is a message, never a crash.
#pragma once

#include <memory>

#include "engine/step.h"

namespace bnn {

class BnnFile {
 public:
  // Checks `size` bytes at `data`, 8-byte aligned, which must outlive this view. On failure the
  // view is empty and `status` says why.
  bool parse(const void* data, size_t size, Status* status);

  int steps() const { return count_; }
  const Step& step(int index) const { return steps_[index]; }

  // False for a plan to be profiled: its steps stand alone and constants() is all null.
  bool has_constants() const { return has_constants_; }
  Constants constants(int index) const;

 private:
  bool parse_header(size_t size, Status* status);
  bool parse_record(int index, size_t size, Status* status);
  bool check_constants(int index, size_t size, Status* status) const;
  bool check_tail_bits(int index, Status* status) const;
  bool check_gap(size_t size, Status* status) const;
  bool check_chain(Status* status) const;
  const uint8_t* record(int index) const;
  uint64_t offset_of(int index, int slot) const;

  const uint8_t* data_ = nullptr;
  int count_ = 0;
  bool has_constants_ = false;
  std::unique_ptr<Step[]> steps_;
};

}  // namespace bnn
