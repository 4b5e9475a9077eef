// What the engine's tests share: steps, .bnn files of invented networks in memory, and a count of
// the checks that passed.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/bnn_format.h"
#include "engine/bnn_image.h"
#include "engine/crc32.h"
#include "engine/invent.h"
#include "engine/network.h"

namespace bnn {

using Bytes = std::vector<uint64_t>;  // 8-byte aligned

inline int passed = 0, failed = 0;

inline void check(bool condition, const char* what) {
  ++(condition ? passed : failed);
  if (!condition) std::printf("FAILED: %s\n", what);
}

inline Step convolution(StepKind kind, int in_size, int in_c, int out_c, int kernel, int stride,
                        int groups, Shortcut shortcut, bool rprelu, bool float_out, bool bits_out,
                        int border) {
  const int out = (in_size + stride - 1) / stride;
  return {kind,      {in_size, in_size, in_c, out, out, out_c, kernel, stride, groups, 0, 0},
          shortcut,  rprelu,
          float_out, bits_out,
          border};
}

inline Step plain(StepKind kind, int size, int in_c, int out_c) {
  return {kind, {size, size, in_c, 1, 1, out_c, 1, 1, 1, 0, 0}, Shortcut::kNone, false, true, false,
          0};
}

inline void set_crc(Bytes* file) {
  uint8_t* bytes = reinterpret_cast<uint8_t*>(file->data());
  const uint32_t crc = crc32(bytes + kHeaderBytes, file->size() * 8 - kHeaderBytes);
  std::memcpy(bytes + kChecksumAt, &crc, sizeof crc);
}

// The .bnn file of these steps with invented constants.
inline Bytes encode(const std::vector<Step>& steps, uint64_t seed) {
  BnnImage image;
  Status status;
  if (!image.make(steps.data(), int(steps.size()), &status)) {
    std::printf("%s\n", status.message);
    std::abort();
  }
  for (size_t i = 0; i < steps.size(); ++i) {
    InventedConstants invented;
    if (!invented.make(steps[i], seed + i)) std::abort();
    for (int slot = 0; slot < kSlots; ++slot) {
      void* constant = image.constant(int(i), slot);
      if (!constant) continue;
      std::memcpy(constant, invented.constants.slot[slot], constant_bytes(steps[i], slot));
    }
  }
  image.seal();
  const uint64_t* words = static_cast<const uint64_t*>(image.data());
  return Bytes(words, words + image.size() / sizeof *words);
}

inline std::unique_ptr<Network> load(const Bytes& file, const LoadOptions& options,
                                     Status* status) {
  return Network::load(file.data(), file.size() * 8, options, status);
}

inline std::unique_ptr<Network> load(const Bytes& file, const char* kernel, Status* status) {
  LoadOptions options;
  options.kernel = kernel;
  return load(file, options, status);
}

inline std::vector<float> run(Network* network) {
  std::vector<float> image(network->image_values()), result(network->result_values());
  invent_values(7, image.size(), image.data());
  network->run(image.data(), result.data());
  return result;
}

// Prints the count; the exit code.
inline int finish() {
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed ? 1 : 0;
}

}  // namespace bnn
