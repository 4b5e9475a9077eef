// Where in a page of 4 KiB the floats of a step begin. Rows are often whole pages long, and a load
// waits for a store just before it to the same place in another page: a step whose output stood in
// its input's place would take up to a third longer. So they stand apart, along the whole
// chain, and a step alone has them as it has them there.
#pragma once

#include <cstddef>

namespace bnn {

constexpr size_t kPageBytes = 4096;

inline size_t input_place(int step) { return size_t(step) * 27 * 64 % kPageBytes; }
inline size_t output_place(int step) { return input_place(step + 1); }
inline size_t scratch_place(int step) { return (output_place(step) + 18 * 64) % kPageBytes; }

// The first offset from `bytes` on, and the last up to it, with that place in its page.
inline size_t next_at(size_t bytes, size_t place) { return bytes + (place - bytes) % kPageBytes; }
inline size_t last_at(size_t bytes, size_t place) { return bytes - (bytes - place) % kPageBytes; }

}  // namespace bnn
