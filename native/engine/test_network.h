// What the engine's tests share: steps, .bnn files of invented networks in memory, and a count of
// the checks that passed.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

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
  const uint32_t crc = crc32(bytes + 64, file->size() * 8 - 64);
  std::memcpy(bytes + 24, &crc, sizeof crc);
}

// The .bnn file of these steps with invented constants (docs/bnn-format.md).
inline Bytes encode(const std::vector<Step>& steps, uint64_t seed) {
  Bytes file((64 + 128 * steps.size()) / 8);
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    const ConvShape& s = step.shape;
    const int32_t flags = step.rprelu | step.float_out << 1 | step.bits_out << 2;
    const int32_t fields[16] = {int32_t(step.kind),
                                s.in_h,
                                s.in_w,
                                s.in_c,
                                s.out_h,
                                s.out_w,
                                s.out_c,
                                s.kernel,
                                s.stride,
                                s.groups,
                                int32_t(step.shortcut),
                                flags,
                                step.border};
    InventedConstants invented;
    if (!invented.make(step, seed + i)) std::abort();
    uint64_t offsets[8] = {};
    for (int slot = 0; slot < kSlots; ++slot) {
      const size_t bytes = constant_bytes(step, slot);
      if (bytes == 0) continue;
      offsets[slot] = file.size() * 8;
      file.resize(file.size() + (bytes + 63) / 64 * 8);
      std::memcpy(reinterpret_cast<char*>(file.data()) + offsets[slot],
                  invented.constants.slot[slot], bytes);
    }
    std::memcpy(file.data() + 8 + 16 * i, fields, sizeof fields);
    std::memcpy(file.data() + 8 + 16 * i + 8, offsets, sizeof offsets);
  }
  const uint32_t header[8] = {0x314E4E42, 1, uint32_t(file.size() * 8), 0, uint32_t(steps.size()),
                              1};
  std::memcpy(file.data(), header, sizeof header);
  set_crc(&file);
  return file;
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
