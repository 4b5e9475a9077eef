#include "engine/bnn_image.h"

#include <cstring>

#include "engine/bnn_format.h"
#include "engine/crc32.h"

namespace bnn {
namespace {

// Offset of a record's constant; the memory is aligned for it.
uint64_t* offset_at(char* file, int index, int slot) {
  return reinterpret_cast<uint64_t*>(file + kHeaderBytes + kRecordBytes * index + kOffsetsAt) +
         slot;
}

template <typename T>
void store(char* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

}  // namespace

bool BnnImage::make(const Step* steps, int count, Status* status) {
  if (count < 1 || count > int(kMaxSteps)) {
    return status->fail(Code::kMalformed, "the number of steps must be 1..%u, got %d", kMaxSteps,
                        count);
  }
  size_ = kHeaderBytes + kRecordBytes * count;
  for (int i = 0; i < count; ++i) {
    Step step = steps[i];
    if (!check_step(i, &step, status)) return false;
    for (int slot = 0; slot < kSlots; ++slot) {
      size_ += (constant_bytes(step, slot) + kAlignment - 1) / kAlignment * kAlignment;
    }
  }
  memory_ = allocate_zeroed(size_);
  if (!memory_) return status->fail(Code::kNoMemory, "no memory for a file of %zu bytes", size_);
  char* file = memory_.get();
  std::memcpy(file, kMagic, 4);
  store(file + kVersionAt, kVersion);
  store(file + kSizeAt, uint64_t(size_));
  store(file + kCountAt, uint32_t(count));
  store(file + kFlagsAt, kFlagConstants);
  uint64_t place = kHeaderBytes + kRecordBytes * count;
  for (int i = 0; i < count; ++i) {
    write_record(steps[i], reinterpret_cast<int32_t*>(file + kHeaderBytes + kRecordBytes * i));
    for (int slot = 0; slot < kSlots; ++slot) {
      const size_t bytes = constant_bytes(steps[i], slot);
      if (bytes) *offset_at(file, i, slot) = place;
      place += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    }
  }
  return true;
}

void* BnnImage::constant(int index, int slot) {
  const uint64_t offset = *offset_at(memory_.get(), index, slot);
  return offset ? memory_.get() + offset : nullptr;
}

void BnnImage::seal() {
  const uint8_t* body = reinterpret_cast<const uint8_t*>(memory_.get()) + kHeaderBytes;
  store(memory_.get() + kChecksumAt, crc32(body, size_ - kHeaderBytes));
}

}  // namespace bnn
