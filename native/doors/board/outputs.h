// What a network computes, for comparing it with another device: outputs of many images, and the
// integer sums of its binary convolutions.
#pragma once

#include "engine/network.h"

namespace bnn {

// images: float32 [count, H, W, C]; writes float32 [count, outputs] to the file. False, with a
// message, when it fails.
bool write_outputs(Network* network, const float* images, size_t count, const char* path);

// image: float32 [H, W, C]; writes the XOR-popcount sums of every bconv2d step in turn, each int32
// [out_h, out_w, out_c], computed step by step with the network's own kernels.
bool write_sums(const Network& network, const float* image, const char* path);

}  // namespace bnn
