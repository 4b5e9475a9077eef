#include "engine/prepare.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bnn {
namespace {

size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

size_t weight_bytes(const PreparedStep& prepared) {
  const Step& step = prepared.step;
  switch (step.kind) {
    case StepKind::kBconv2d:
      return prepared.kernel->prepared_bytes(step.shape);
    case StepKind::kConv2d:
      return conv2d_prepared_bytes(step.shape);
    default:
      return constant_bytes(step, kWeights);  // a pack has none
  }
}

// The slots of the epilogue; gamma goes into the bias.
constexpr Slot kRowSlots[] = {kScale, kBias, kBeta, kZeta, kThreshold};

// Bytes of one row of EpilogueConstants, a multiple of 64; 0 when the step has none.
size_t row_bytes(const Step& step, int slot) {
  if (constant_bytes(step, slot) == 0 || step.integer_threshold()) return 0;
  return size_t(padded_channels(step.shape.out_c)) * sizeof(float);
}

// Of a scale of 1 and a bias of 0, for the dot products in front of an activation.
size_t dots_bytes(const Step& step) {
  if (step.activation == Activation::kNone) return 0;
  return 2 * size_t(padded_channels(step.shape.out_c)) * sizeof(float);
}

}  // namespace

bool KernelChoice::parse(const char* name, KernelChoice* choice, Status* status) {
  if (!name || !*name) name = std::getenv("BNN_KERNEL");
  if (!name || !*name) {
    *choice = {best_isa(), nullptr};
    return true;
  }
  const Bconv2dKernel* kernel = find_bconv2d(name);
  Isa isa = kernel ? kernel->isa : Isa::kScalar;
  if (!kernel && !isa_from_name(name, &isa)) {
    return status->fail(Code::kUnknownKernel, "unknown kernel or ISA '%s'", name);
  }
  if (!isa_supported(isa)) {
    return status->fail(Code::kUnsupported, "'%s' needs %s, which this CPU does not have", name,
                        isa_name(isa));
  }
  *choice = {isa, kernel};
  return true;
}

void PreparedStep::kernel_name(char* text, size_t size) const {
  if (kernel) {
    std::snprintf(text, size, "%s", kernel->name);
  } else if (step.kind == StepKind::kGlobalAvgpool) {
    std::snprintf(text, size, "%s", step_kind_name(step.kind));
  } else {
    std::snprintf(text, size, "%s_%s", step_kind_name(step.kind), isa_name(isa));
  }
}

Bounds bounds_of(Activation activation) {
  switch (activation) {
    case Activation::kRelu:
      return {0.0f, HUGE_VALF};
    case Activation::kReluN1To1:
      return {-1.0f, 1.0f};
    case Activation::kRelu6:
      return {0.0f, 6.0f};
    case Activation::kNone:
      break;
  }
  return {-HUGE_VALF, HUGE_VALF};
}

bool choose_kernel(int index, const Step& step, const KernelChoice& choice, PreparedStep* prepared,
                   Status* status) {
  *prepared = PreparedStep{};
  prepared->step = step;
  prepared->isa = choice.isa;
  if (step.kind != StepKind::kBconv2d) return true;
  if (choice.kernel && !choice.kernel->supports(step.shape)) {
    return status->fail(Code::kUnsupported,
                        "step %d: %s does not support kernel %d, stride %d, %d channels, %d groups",
                        index, choice.kernel->name, step.shape.kernel, step.shape.stride,
                        step.shape.in_c, step.shape.groups);
  }
  prepared->kernel = choice.kernel ? choice.kernel : select_bconv2d(step.shape, choice.isa);
  return true;
}

size_t prepared_bytes(const PreparedStep& prepared) {
  size_t bytes = aligned(weight_bytes(prepared));
  for (int slot : kRowSlots) bytes += row_bytes(prepared.step, slot);
  return bytes + dots_bytes(prepared.step) + ZeroPadding::bytes(prepared.step);
}

void prepare_constants(const Constants& constants, void* memory, PreparedStep* prepared) {
  const Step& step = prepared->step;
  char* place = static_cast<char*>(memory);
  if (step.kind == StepKind::kBconv2d) {
    const void* threshold = step.integer_threshold() ? constants.slot[kThreshold] : nullptr;
    prepared->kernel->prepare(step.shape, static_cast<const uint64_t*>(constants.slot[kWeights]),
                              static_cast<const int32_t*>(threshold), place);
  } else if (step.kind == StepKind::kConv2d) {
    prepare_conv2d(step.shape, constants.floats(kWeights), place);
  } else if (step.kind == StepKind::kLinear) {
    std::memcpy(place, constants.slot[kWeights], constant_bytes(step, kWeights));
  }
  prepared->weights = place;
  place += aligned(weight_bytes(*prepared));

  float* rows[kSlots] = {};
  for (int slot : kRowSlots) {
    const size_t bytes = row_bytes(step, slot);
    if (bytes == 0) continue;
    rows[slot] = reinterpret_cast<float*>(place);
    std::memset(place, 0, bytes);
    std::memcpy(place, constants.slot[slot], constant_bytes(step, slot));
    place += bytes;
  }
  if (step.rprelu) {
    const float* gamma = constants.floats(kGamma);
    for (int o = 0; o < step.shape.out_c; ++o) rows[kBias][o] -= gamma[o];
  }
  bool beta_at_most_one = true;
  for (int o = 0; step.rprelu && o < step.shape.out_c; ++o) {
    beta_at_most_one = beta_at_most_one && rows[kBeta][o] <= 1.0f;
  }
  prepared->epilogue = {rows[kScale], rows[kBias],      rows[kBeta],
                        rows[kZeta],  rows[kThreshold], beta_at_most_one};
  if (step.activation != Activation::kNone) {
    float* ones = reinterpret_cast<float*>(place);
    std::memset(place, 0, dots_bytes(step));
    std::fill_n(ones, step.shape.out_c, 1.0f);
    prepared->dots = {ones, ones + padded_channels(step.shape.out_c), nullptr, nullptr, nullptr,
                      false};
  }
  if (step.zero_padding) {
    prepared->zero_padding.prepare(step, static_cast<const uint64_t*>(constants.slot[kWeights]),
                                   rows[kScale], place);
  }
}

bool prepare_owned(const Constants& constants, PreparedStep* prepared, Memory* memory) {
  *memory = allocate(prepared_bytes(*prepared));
  if (!*memory) return false;
  prepare_constants(constants, memory->get(), prepared);
  return true;
}

}  // namespace bnn
