#include "engine/invent.h"

#include <cmath>
#include <cstring>

namespace bnn {
namespace {

uint64_t tail_mask(int channels) {
  return channels % 64 ? ~(~uint64_t(0) << (channels % 64)) : ~uint64_t(0);
}

// rows x words_of(channels) random words without bits past the last channel
void invent_words(SplitMix64* random, size_t rows, int channels, uint64_t* words) {
  const int count = words_of(channels);
  for (size_t row = 0; row < rows; ++row) {
    for (int word = 0; word < count; ++word) *words++ = random->next();
    words[-1] &= tail_mask(channels);
  }
}

// Of a size that keeps y near 1, with both signs where training gives both.
void invent_slot(SplitMix64* random, const Step& step, int slot, void* to) {
  const ConvShape& s = step.shape;
  const float unit = 1.0f / std::sqrt(float(s.k_bits()));
  float* values = static_cast<float*>(to);
  const size_t count = constant_bytes(step, slot) / sizeof(float);
  if (slot == kWeights && step.kind == StepKind::kBconv2d) {
    invent_words(random, size_t(s.out_c) * s.kernel * s.kernel, s.in_c_per_group(),
                 static_cast<uint64_t*>(to));
  } else if (slot == kThreshold && step.integer_threshold()) {
    const int32_t spread = int32_t(std::sqrt(float(s.k_bits()))) + 1;
    for (size_t i = 0; i < count; ++i) {
      static_cast<int32_t*>(to)[i] =
          s.k_bits() / 2 - spread + int32_t(random->below(2 * spread + 1));
    }
  } else {
    const float bound = slot == kWeights || slot == kScale ? unit : slot == kBeta ? 0.5f : 1.0f;
    for (size_t i = 0; i < count; ++i) values[i] = random->uniform(-bound, bound);
  }
}

}  // namespace

bool InventedConstants::make(const Step& step, uint64_t seed) {
  size_t bytes = 0;
  for (int slot = 0; slot < kSlots; ++slot) bytes += (constant_bytes(step, slot) + 63) / 64 * 64;
  memory = allocate(bytes);
  constants = {};
  if (!memory) return false;
  SplitMix64 random{seed};
  char* place = memory.get();
  for (int slot = 0; slot < kSlots; ++slot) {
    const size_t size = constant_bytes(step, slot);
    if (size == 0) continue;
    invent_slot(&random, step, slot, place);
    constants.slot[slot] = place;
    place += (size + 63) / 64 * 64;
  }
  return true;
}

void invent_values(uint64_t seed, size_t count, float* values) {
  SplitMix64 random{seed};
  for (size_t i = 0; i < count; ++i) values[i] = random.uniform(-1.0f, 1.0f);
}

void invent_bits(uint64_t seed, const ConvShape& shape, int rows, uint64_t* bits) {
  SplitMix64 random{seed};
  const int border = shape.border();
  const size_t words = words_of(shape.in_c), row = shape.padded_w() * words;
  std::memset(bits, 0, rows * row * sizeof *bits);
  for (int y = 0; y < rows; ++y) {
    invent_words(&random, shape.in_w, shape.in_c, bits + y * row + border * words);
  }
}

}  // namespace bnn
