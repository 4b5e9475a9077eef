// The `.bnn` file's sizes, flags and records (docs/bnn-format.md), for its reader and its writer.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/step.h"

namespace bnn {

constexpr char kMagic[] = "BNN1";
constexpr uint32_t kVersion = 1, kMaxSteps = 4096;
constexpr size_t kHeaderBytes = 64, kRecordBytes = 128, kRecordInts = 16;
constexpr size_t kRecordFields = 13;  // of the integers: what the planner's steps need
constexpr uint64_t kAlignment = 64;   // of constants

// Where the fields of the header stand, and a record's offsets of constants.
constexpr size_t kVersionAt = 4, kSizeAt = 8, kCountAt = 16, kFlagsAt = 20, kChecksumAt = 24,
                 kZerosAt = 28, kOffsetsAt = kRecordInts * sizeof(int32_t);
constexpr uint32_t kFlagConstants = 1;

// The integers of a record, [kRecordInts] -> step `index`, checked (check_step). False: `status`
// says why not.
bool read_record(int index, const int32_t* fields, Step* step, Status* status);

// A step -> the integers of its record, [kRecordInts].
void write_record(const Step& step, int32_t* fields);

}  // namespace bnn
