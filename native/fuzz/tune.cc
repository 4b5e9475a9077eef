// In place of engine/tune.cc: the tile follows from the shape, not from the clock, so that an input
// does the same each time and takes no measurement.
#include "engine/tune.h"

#include <cstring>

#include "engine/crc32.h"

namespace bnn {

void tune(PreparedStep* steps, int count) {
  size_t kernels = 0;
  const Bconv2dKernel* const* all = bconv2d_kernels(&kernels);
  for (int i = 0; i < count; ++i) {
    if (!steps[i].kernel) continue;
    const ConvShape& shape = steps[i].step.shape;
    const Bconv2dKernel* tiles[16];
    uint32_t found = 0;
    for (size_t k = 0; k < kernels && found < 16; ++k) {
      if (all[k]->isa == steps[i].kernel->isa && all[k]->supports(shape) &&
          std::strcmp(all[k]->method, steps[i].kernel->method) == 0) {
        tiles[found++] = all[k];
      }
    }
    const uint32_t number = crc32(reinterpret_cast<const uint8_t*>(&shape), sizeof shape);
    steps[i].kernel = tiles[number % found];
  }
}

}  // namespace bnn
