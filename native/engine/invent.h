// Seeded constants and inputs for a step whose real ones are not known: what a profiler times and a
// test compares. Same seed, same bits, on every machine.
#pragma once

#include "engine/memory.h"
#include "engine/step.h"

namespace bnn {

// (Steele, Lea, Flood 2014): 64 good bits from a counter.
struct SplitMix64 {
  uint64_t state;

  uint64_t next() {
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // [low, high), a multiple of 2^-24 of the range
  float uniform(float low, float high) {
    return low + (high - low) * (float(next() >> 40) * 0x1p-24f);
  }
  // 0..bound-1
  uint64_t below(uint64_t bound) { return next() % bound; }
};

// All constants of a step, canonical layout. False: no memory.
struct InventedConstants {
  Memory memory;
  Constants constants;

  bool make(const Step& step, uint64_t seed);
};

// count floats in [-1, 1)
void invent_values(uint64_t seed, size_t count, float* values);

// Rows of a packed input [rows, padded_w, words_of(in_c)]: random bits inside, zero border and
// tail.
void invent_bits(uint64_t seed, const ConvShape& shape, int rows, uint64_t* bits);

}  // namespace bnn
