// The list of kernels and the choice among them.
#include "core/bconv2d/bconv2d.h"

#include <cstring>

namespace bnn {

#define BNN_BCONV2D_KERNEL(kernel) extern const Bconv2dKernel kernel;
#include "core/bconv2d/kernels.inc"
#undef BNN_BCONV2D_KERNEL

namespace {

constexpr const Bconv2dKernel* kKernels[] = {
#define BNN_BCONV2D_KERNEL(kernel) &kernel,
#include "core/bconv2d/kernels.inc"
#undef BNN_BCONV2D_KERNEL
};

}  // namespace

const Bconv2dKernel* const* bconv2d_kernels(size_t* count) {
  *count = sizeof(kKernels) / sizeof(kKernels[0]);
  return kKernels;
}

const Bconv2dKernel* select_bconv2d(const ConvShape& shape, Isa isa) {
  for (const Bconv2dKernel* kernel : kKernels) {
    if (isa_includes(isa, kernel->isa) && kernel->supports(shape)) return kernel;
  }
  return &bconv2d_scalar_generic;
}

const Bconv2dKernel* find_bconv2d(const char* name) {
  for (const Bconv2dKernel* kernel : kKernels) {
    if (std::strcmp(kernel->name, name) == 0) return kernel;
  }
  return nullptr;
}

}  // namespace bnn
