// What the fuzz targets share. Their inputs are .bnn files: bytes that a mutator altered, mostly in
// ways that leave a good header, else nothing behind the checksum would ever be reached.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/bnn_file.h"
#include "engine/bnn_format.h"
#include "engine/memory.h"

namespace bnn {

// An exact copy, so that ASan sees a read past its end.
Memory exact_copy(const uint8_t* data, size_t size);

// Makes magic, version, size, zeros and checksum those of a good file. False when there is no room
// for a header.
bool repair_header(char* file, size_t size);

// Whether running all steps takes no more than a fraction of a millisecond: what a fuzz
// target may do with one input. `number`: number_of(file).
bool is_quick(const BnnFile& file, uint32_t number);

// A kernel or instruction set that this CPU has; every number names one.
const char* kernel_by_number(uint32_t number);

// The checksum in the header: a number that follows from the content, for choices.
uint32_t number_of(const char* file);

}  // namespace bnn
