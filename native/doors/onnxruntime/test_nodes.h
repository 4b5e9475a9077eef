// For tests: the nodes that an exporter writes, made from a .bnn file's steps and constants.
#pragma once

#include "doors/onnxruntime/api.h"
#include "doors/onnxruntime/pretend_runtime.h"
#include "engine/network.h"

namespace bnn::ort {

// float32 [batch, channels, height, width], invented.
OrtValue image_value(int64_t batch, int64_t channels, int64_t height, int64_t width);

// The Network of a file with constants.
OrtKernelInfo network_node(const BnnFile& file, int64_t batch);

// The BinaryConv2d of a binary step, all thresholds 0; weights: canonical.
OrtKernelInfo convolution_node(const Step& step, const void* weights, int64_t batch);

// Makes the operator, runs it twice on the node's inputs, and ends it. False when it refuses
// either, which must come with a message.
bool run_node(const OrtCustomOp& op, OrtKernelInfo* node, int threads, OrtValue* output);

// What the engine gives for images as image_value makes them.
std::vector<float> engine_result(Network* network, const OrtValue& images);

}  // namespace bnn::ort
