#include "fuzz/fuzz.h"

#include <cstdlib>
#include <cstring>

#include "core/bconv2d/bconv2d.h"
#include "engine/crc32.h"

namespace bnn {
namespace {

// One input in 16 may take longer, for tiles of many pixels and channels.
constexpr uint64_t kUsualWork = uint64_t(1) << 15, kMostWork = uint64_t(1) << 18;

// Elements moved and multiply-accumulates, of bits eight at a time.
uint64_t work_of(const Step& step) {
  const ConvShape& s = step.shape;
  const uint64_t window = step.convolves() || step.kind == StepKind::kLinear
                              ? uint64_t(s.kernel) * s.kernel * s.in_c_per_group()
                              : 1;
  const uint64_t macs = uint64_t(step.out_elements()) * window;
  return uint64_t(s.in_h) * s.in_w * s.in_c + 8 * (step.in_words() + step.out_words()) +
         (step.reads_bits() ? macs / 8 : macs);
}

}  // namespace

Memory exact_copy(const uint8_t* data, size_t size) {
  Memory copy(static_cast<char*>(std::malloc(size)));
  if (copy && size) std::memcpy(copy.get(), data, size);
  return copy;
}

bool repair_header(char* file, size_t size) {
  if (size < kHeaderBytes) return false;
  const uint64_t declared = size;
  std::memcpy(file, kMagic, 4);
  std::memcpy(file + kVersionAt, &kVersion, sizeof kVersion);
  std::memcpy(file + kSizeAt, &declared, sizeof declared);
  std::memset(file + kZerosAt, 0, kHeaderBytes - kZerosAt);
  const uint32_t crc =
      crc32(reinterpret_cast<const uint8_t*>(file) + kHeaderBytes, size - kHeaderBytes);
  std::memcpy(file + kChecksumAt, &crc, sizeof crc);
  return true;
}

bool is_quick(const BnnFile& file, uint32_t number) {
  const uint64_t most = number % 16 ? kUsualWork : kMostWork;
  uint64_t work = 0;
  for (int i = 0; i < file.steps() && work <= most; ++i) work += work_of(file.step(i));
  return work <= most;
}

const char* kernel_by_number(uint32_t number) {
  const char* names[64];
  size_t count = 0, kernels = 0;
  const Bconv2dKernel* const* all = bconv2d_kernels(&kernels);
  for (Isa isa : kIsas) {
    if (!isa_supported(isa)) continue;
    for (int i = 0; i < 4; ++i) names[count++] = isa_name(isa);  // a kernel fits few networks
  }
  for (size_t i = 0; i < kernels && count < sizeof names / sizeof *names; ++i) {
    if (isa_supported(all[i]->isa)) names[count++] = all[i]->name;
  }
  return names[number % count];
}

uint32_t number_of(const char* file) {
  uint32_t crc;
  std::memcpy(&crc, file + kChecksumAt, sizeof crc);
  return crc;
}

}  // namespace bnn
