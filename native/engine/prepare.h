// From canonical constants to a step that is ready to run: weights re-tiled for the chosen kernel,
// once, at load.
#pragma once

#include "core/bconv2d/bconv2d.h"
#include "core/epilogue/epilogue.h"
#include "core/float/float_ops.h"
#include "engine/memory.h"
#include "engine/step.h"
#include "engine/zero_padding.h"

namespace bnn {

// What a caller may ask for: the name of an ISA (its best kernels) or of one bconv2d kernel (used
// by every binary convolution). Null or empty: the environment variable BNN_KERNEL, else the best
// ISA.
struct KernelChoice {
  Isa isa;
  const Bconv2dKernel* kernel;  // null: select_bconv2d for each shape

  // Unknown and unsupported names are errors, never a fallback.
  static bool parse(const char* name, KernelChoice* choice, Status* status);
};

// A step with its constants where the kernels want them. Pointers lead into the memory that
// prepare() was given.
struct PreparedStep {
  Step step;
  Isa isa;                      // of the float work and the shortcut
  const Bconv2dKernel* kernel;  // of a bconv2d, else null
  const void* weights;          // prepared, with the thresholds of an integer epilogue
  EpilogueConstants epilogue;   // none with an integer epilogue; of a linear step its bias
  ZeroPadding zero_padding;
  EpilogueConstants dots;  // with an activation: of the dot products in front of it

  // "bconv2d_avx512_dense_7x2", "conv2d_avx2", "global_avgpool", "linear_avx2".
  void kernel_name(char* text, size_t size) const;
};

// What an activation leaves of a dot product.
Bounds bounds_of(Activation activation);

// Chooses the kernel of one step; of several tiles the first, for tune.h to find the best.
bool choose_kernel(int index, const Step& step, const KernelChoice& choice, PreparedStep* prepared,
                   Status* status);

// Bytes, a multiple of 64, that prepare_constants() needs for this step.
size_t prepared_bytes(const PreparedStep& prepared);

// Copies and re-tiles the constants into `memory`, 64-byte aligned, prepared_bytes() long.
void prepare_constants(const Constants& constants, void* memory, PreparedStep* prepared);

// The same in new memory. False: no memory.
bool prepare_owned(const Constants& constants, PreparedStep* prepared, Memory* memory);

}  // namespace bnn
