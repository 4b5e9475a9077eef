// What a .tflite file might get wrong.
#pragma once

#include "doors/litert/test_models.h"

namespace bnn::litert {

constexpr size_t kMostBytes = 16 << 10;  // of a damaged model's tensor: else it takes too long

// A size of anything: around words, small, absurd.
int odd_size(SplitMix64* random);

// Damages some tensors, options and nodes; raw: any bytes, for options. False: none.
bool damage(Model* model, const std::vector<char>& raw, SplitMix64* random);

}  // namespace bnn::litert
