#include "engine/bnn_file.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "engine/bnn_format.h"
#include "engine/crc32.h"

namespace bnn {
namespace {

template <typename T>
T load(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

bool all_zero(const uint8_t* bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i]) return false;
  }
  return true;
}

}  // namespace

const uint8_t* BnnFile::record(int index) const {
  return data_ + kHeaderBytes + kRecordBytes * index;
}

uint64_t BnnFile::offset_of(int index, int slot) const {
  return load<uint64_t>(record(index) + kOffsetsAt + slot * sizeof(uint64_t));
}

Constants BnnFile::constants(int index) const {
  Constants constants{};
  for (int slot = 0; slot < kSlots; ++slot) {
    const uint64_t offset = offset_of(index, slot);
    constants.slot[slot] = offset ? data_ + offset : nullptr;
  }
  return constants;
}

bool BnnFile::parse(const void* data, size_t size, Status* status) {
  data_ = static_cast<const uint8_t*>(data);
  bool good = parse_header(size, status);
  for (int i = 0; good && i < count_; ++i) good = parse_record(i, size, status);
  good = good && check_gap(size, status);
  if (good && has_constants_) good = check_chain(status);
  if (!good) *this = BnnFile();
  return good;
}

bool BnnFile::parse_header(size_t size, Status* status) {
  if (reinterpret_cast<uintptr_t>(data_) % alignof(uint64_t)) {
    return status->fail(Code::kMalformed, "the bytes must be 8-byte aligned in memory");
  }
  if (size < kHeaderBytes) {
    return status->fail(Code::kMalformed, "truncated: a header has 64 bytes, the file has %zu",
                        size);
  }
  if (std::memcmp(data_, kMagic, 4) != 0) {
    return status->fail(Code::kMalformed, "not a .bnn file: it does not start with BNN1");
  }
  const uint32_t version = load<uint32_t>(data_ + kVersionAt);
  if (version != kVersion) {
    return status->fail(Code::kMalformed, "expected version %u, got %u", kVersion, version);
  }
  const uint64_t declared = load<uint64_t>(data_ + kSizeAt);
  if (declared != size) {
    return status->fail(Code::kMalformed,
                        "truncated or altered: the header says %llu bytes, the file has %zu",
                        static_cast<unsigned long long>(declared), size);
  }
  const uint32_t count = load<uint32_t>(data_ + kCountAt), flags = load<uint32_t>(data_ + kFlagsAt);
  if (count < 1 || count > kMaxSteps) {
    return status->fail(Code::kMalformed, "the number of steps must be 1..%u, got %u", kMaxSteps,
                        count);
  }
  if (flags & ~kFlagConstants) {
    return status->fail(Code::kMalformed, "unknown flags 0x%x in the header", flags);
  }
  if (!all_zero(data_ + kZerosAt, kHeaderBytes - kZerosAt)) {
    return status->fail(Code::kMalformed, "bytes 28 to 63 of the header must be zero");
  }
  if (size - kHeaderBytes < count * kRecordBytes) {
    return status->fail(Code::kMalformed, "truncated: %u step records do not fit in %zu bytes",
                        count, size);
  }
  const uint32_t expected = load<uint32_t>(data_ + kChecksumAt);
  const uint32_t crc = crc32(data_ + kHeaderBytes, size - kHeaderBytes);
  if (crc != expected) {
    return status->fail(Code::kMalformed, "altered: the CRC-32 is %08x, the header says %08x", crc,
                        expected);
  }
  steps_.reset(new (std::nothrow) Step[count]);
  if (!steps_) return status->fail(Code::kNoMemory, "no memory for %u step records", count);
  count_ = int(count);
  has_constants_ = flags & kFlagConstants;
  return true;
}

bool BnnFile::parse_record(int index, size_t size, Status* status) {
  int32_t field[kRecordInts];
  std::memcpy(field, record(index), sizeof field);
  return read_record(index, field, &steps_[index], status) && check_constants(index, size, status);
}

bool BnnFile::check_constants(int index, size_t size, Status* status) const {
  if (offset_of(index, kSlots)) {
    return status->fail(Code::kMalformed, "step %d: constant 7 must be absent", index);
  }
  const uint64_t first = kHeaderBytes + kRecordBytes * uint64_t(count_);
  for (int slot = 0; slot < kSlots; ++slot) {
    const uint64_t offset = offset_of(index, slot);
    const uint64_t bytes = has_constants_ ? constant_bytes(steps_[index], slot) : 0;
    if ((offset != 0) != (bytes != 0)) {
      return status->fail(Code::kMalformed, "step %d: %s must be %s", index, slot_name(slot),
                          bytes ? "present" : "absent");
    }
    if (offset == 0) continue;
    if (offset % kAlignment || offset < first) {
      return status->fail(Code::kMalformed,
                          "step %d: %s at offset %llu: not 64-byte aligned after the records",
                          index, slot_name(slot), static_cast<unsigned long long>(offset));
    }
    if (offset > size || size - offset < bytes) {
      return status->fail(Code::kMalformed,
                          "step %d: %s (%llu bytes at offset %llu) ends past the file of %zu",
                          index, slot_name(slot), static_cast<unsigned long long>(bytes),
                          static_cast<unsigned long long>(offset), size);
    }
  }
  return !has_constants_ || check_tail_bits(index, status);
}

// Bits past the last channel must be 0, else they would be counted.
bool BnnFile::check_tail_bits(int index, Status* status) const {
  const Step& step = steps_[index];
  const int channels = step.shape.in_c_per_group();
  if (step.kind != StepKind::kBconv2d || channels % 64 == 0) return true;
  const uint64_t tail = ~uint64_t(0) << (channels % 64);
  const size_t words = words_of(channels), bytes = constant_bytes(step, kWeights);
  const uint8_t* weights = data_ + offset_of(index, kWeights);
  for (size_t last = (words - 1) * sizeof tail; last < bytes; last += words * sizeof tail) {
    if (load<uint64_t>(weights + last) & tail) {
      return status->fail(Code::kMalformed, "step %d: weights have bits past channel %d", index,
                          channels - 1);
    }
  }
  return true;
}

// Zero from the last record to the first constant: a record more than the header says would stand
// there.
bool BnnFile::check_gap(size_t size, Status* status) const {
  const uint64_t from = kHeaderBytes + kRecordBytes * uint64_t(count_);
  uint64_t to = size;
  for (int index = 0; index < count_; ++index) {
    for (int slot = 0; slot < kSlots; ++slot) {
      if (const uint64_t offset = offset_of(index, slot)) to = std::min(to, offset);
    }
  }
  if (all_zero(data_ + from, to - from)) return true;
  return status->fail(Code::kMalformed,
                      "bytes between the %d records and the constants must be zero", count_);
}

bool BnnFile::check_chain(Status* status) const {
  if (steps_[0].reads_bits() || !steps_[count_ - 1].float_out) {
    return status->fail(Code::kMalformed,
                        "the first step must read the float32 image and the last write float32");
  }
  for (int i = 1; i < count_; ++i) {
    const Step &before = steps_[i - 1], &step = steps_[i];
    const ConvShape &a = before.shape, &b = step.shape;
    if (a.out_h != b.in_h || a.out_w != b.in_w || a.out_c != b.in_c) {
      return status->fail(Code::kMalformed, "step %d reads %dx%dx%d, but step %d writes %dx%dx%d",
                          i, b.in_h, b.in_w, b.in_c, i - 1, a.out_h, a.out_w, a.out_c);
    }
    if (step.reads_values() && !before.float_out) {
      return status->fail(Code::kMalformed, "step %d reads floats that step %d does not write", i,
                          i - 1);
    }
    if (step.reads_bits() && !before.bits_out) {
      return status->fail(Code::kMalformed, "step %d reads bits that step %d does not write", i,
                          i - 1);
    }
    if (step.reads_bits() && before.border != b.border()) {
      return status->fail(Code::kMalformed, "step %d needs a border of %d, but step %d writes %d",
                          i, b.border(), i - 1, before.border);
    }
  }
  return true;
}

}  // namespace bnn
