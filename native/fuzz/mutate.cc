// Structured mutation of .bnn files for libFuzzer. Half of the mutations alter bytes and repair the
// header. The other half reads the records leniently, alters a step, and writes a file whose steps
// fit each other again: sizes, groups, borders, and constants where they belong.
#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/invent.h"
#include "engine/test_network.h"
#include "fuzz/fuzz.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace bnn {
namespace {

constexpr size_t kMostSteps = 6;
// Around the widths of vectors, words and groups.
constexpr int kChannels[] = {1,  2,  3,  4,  5,  7,  8,  9,  12, 15,  16,  17,  24, 31,
                             32, 33, 40, 48, 63, 64, 65, 72, 96, 127, 128, 130, 256};
constexpr int kSizes[] = {1, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 17};
constexpr int kKernels[] = {1, 1, 3, 3, 3, 5, 7};

template <size_t count>
int pick(const int (&values)[count], SplitMix64* random) {
  return values[random->below(count)];
}

int clamp_to(int value, int most) { return std::clamp(value, 1, most); }

Step random_step(SplitMix64* random) {
  Step step{};
  step.kind =
      random->below(8) ? StepKind::kBconv2d : StepKind(random->below(int(kLastStepKind) + 1));
  step.shape.in_h = pick(kSizes, random);
  step.shape.in_w = pick(kSizes, random);
  step.shape.in_c = pick(kChannels, random);
  step.shape.out_c = random->below(2) ? step.shape.in_c : pick(kChannels, random);
  step.shape.kernel = pick(kKernels, random);
  step.shape.stride = 1 + int(random->below(4) == 0);
  step.shape.groups = random->below(2) ? step.shape.in_c / pick(kChannels, random) : 1;
  step.shortcut = Shortcut(random->below(4));
  step.rprelu = random->below(2);
  step.float_out = random->below(3);
  step.bits_out = random->below(3);
  step.border = int(random->below(3));
  step.zero_padding = random->below(4) == 0;
  if (random->below(4) == 0) step.activation = Activation(random->below(4));
  return step;
}

// The records of a file, each field taken for what it may be.
std::vector<Step> read_steps(const uint8_t* data, size_t size) {
  std::vector<Step> steps;
  for (size_t at = kHeaderBytes; at + kRecordBytes <= size && steps.size() < kMostSteps;
       at += kRecordBytes) {
    int32_t f[14];
    std::memcpy(f, data + at, sizeof f);
    if (f[0] < 0 || f[0] > int32_t(kLastStepKind) || f[1] < 1 || f[3] < 1) break;
    Step step{};
    step.kind = StepKind(f[0]);
    step.shape = {f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9], 0, 0};
    step.shortcut = Shortcut(f[10] & 3);
    step.rprelu = f[11] & 1;
    step.float_out = f[11] & 2;
    step.bits_out = f[11] & 4;
    step.border = f[12];
    step.zero_padding = f[11] & 8;
    step.activation = Activation(f[13] & 3);
    steps.push_back(step);
  }
  return steps;
}

// Sizes that exist; the output and the shortcut follow from them.
void fit_shape(Step* step) {
  ConvShape& s = step->shape;
  s.in_h = clamp_to(s.in_h, 40);
  s.in_w = clamp_to(s.in_w, 40);
  s.in_c = clamp_to(s.in_c, 512);
  s.out_c = clamp_to(s.out_c, 512);
  if (step->kind != StepKind::kBconv2d) step->zero_padding = false;
  if (step->kind != StepKind::kBconv2d || step->zero_padding) step->activation = Activation::kNone;
  if (step->kind == StepKind::kPack) {
    s.kernel = s.stride = s.groups = 1;
    s.out_h = s.in_h;
    s.out_w = s.in_w;
    s.out_c = s.in_c;
    step->shortcut = Shortcut::kNone;
    step->rprelu = false;
    step->bits_out = true;
  } else if (!step->convolves()) {
    s.kernel = s.stride = s.groups = s.out_h = s.out_w = 1;
    if (step->kind == StepKind::kLinear) s.in_h = s.in_w = 1;
    if (step->kind == StepKind::kGlobalAvgpool) s.out_c = s.in_c;
    step->shortcut = Shortcut::kNone;
    step->rprelu = step->bits_out = false;
    step->float_out = true;
  } else {
    s.kernel = clamp_to(s.kernel, 9) | 1;
    s.stride = clamp_to(s.stride, 2);
    s.groups = clamp_to(s.groups, s.in_c);
    while (s.in_c % s.groups) --s.groups;
    s.out_c = (s.out_c + s.groups - 1) / s.groups * s.groups;
    s.out_h = (s.in_h + s.stride - 1) / s.stride;
    s.out_w = (s.in_w + s.stride - 1) / s.stride;
    const bool same = s.in_c == s.out_c;
    const bool fits[] = {true, same && s.stride == 1, same && s.stride == 2,
                         s.stride == 1 && s.out_c % s.in_c == 0};
    if (step->kind == StepKind::kConv2d || !fits[int(step->shortcut)]) {
      step->shortcut = Shortcut::kNone;
    }
  }
  if (!step->bits_out) step->float_out = true;
  step->border = step->bits_out ? std::clamp(step->border, 0, 4) : 0;
}

// Each step reads what the one before it writes.
void fit_chain(std::vector<Step>* steps) {
  if (steps->front().reads_bits()) steps->front().kind = StepKind::kConv2d;
  for (size_t i = 0; i < steps->size(); ++i) {
    Step& step = (*steps)[i];
    if (i > 0) {
      const ConvShape& before = (*steps)[i - 1].shape;
      step.shape.in_h = before.out_h;
      step.shape.in_w = before.out_w;
      step.shape.in_c = before.out_c;
      if (step.kind == StepKind::kLinear && (before.out_h > 1 || before.out_w > 1)) {
        step.kind = StepKind::kGlobalAvgpool;
      }
      if (step.reads_bits() && !(*steps)[i - 1].by_rows()) step.kind = StepKind::kConv2d;
    }
    fit_shape(&step);
  }
  for (size_t i = 0; i < steps->size(); ++i) {
    Step& step = (*steps)[i];
    const Step* next = i + 1 < steps->size() ? &(*steps)[i + 1] : nullptr;
    step.bits_out = next && next->reads_bits();
    if (step.kind == StepKind::kPack && !step.bits_out) step.kind = StepKind::kConv2d;
    step.float_out = !next || next->reads_values() || (step.float_out && step.by_rows());
    step.border = step.bits_out ? next->shape.border() : 0;
  }
}

// A plan: the records alone.
Bytes without_constants(Bytes file, size_t steps) {
  file.resize((kHeaderBytes + kRecordBytes * steps) / sizeof(uint64_t));
  char* bytes = reinterpret_cast<char*>(file.data());
  std::memset(bytes + 20, 0, 4);
  for (size_t i = 0; i < steps; ++i)
    std::memset(bytes + kHeaderBytes + i * kRecordBytes + 64, 0, 64);
  return file;
}

void alter(std::vector<Step>* steps, SplitMix64* random) {
  if (steps->empty()) steps->push_back(random_step(random));
  const size_t at = random->below(steps->size());
  Step& step = (*steps)[at];
  const Step other = random_step(random);
  switch (random->below(8)) {
    case 0:
      if (steps->size() > 1) steps->erase(steps->begin() + long(at));
      break;
    case 1:
    case 2:
      if (steps->size() < kMostSteps) steps->insert(steps->begin() + long(at), other);
      break;
    case 3:
      step.kind = other.kind;
      step.shortcut = other.shortcut;
      step.activation = other.activation;
      step.zero_padding = other.zero_padding;
      break;
    case 4:
      step.shape.in_h = other.shape.in_h;
      step.shape.in_w = other.shape.in_w;
      break;
    case 5:
      step.shape.in_c = other.shape.in_c;
      step.shape.out_c = other.shape.out_c;
      step.shape.groups = other.shape.groups;
      break;
    case 6:
      step.shape.kernel = other.shape.kernel;
      step.shape.stride = other.shape.stride;
      step.border = other.border;
      break;
    default:
      step.rprelu = other.rprelu;
      step.float_out = other.float_out;
      step.bits_out = other.bits_out;
  }
}

// Steps that fit, as a file; false when it is too long.
bool rebuild(uint8_t* data, size_t* size, size_t max_size, SplitMix64* random) {
  std::vector<Step> steps = read_steps(data, *size);
  const bool chain = random->below(2);
  alter(&steps, random);
  if (chain) {
    fit_chain(&steps);
  } else {
    for (Step& step : steps) fit_shape(&step);
  }
  Bytes file = encode(steps, random->next());
  if (!chain) file = without_constants(file, steps.size());
  if (file.size() * sizeof(uint64_t) > max_size) return false;
  *size = file.size() * sizeof(uint64_t);
  std::memcpy(data, file.data(), *size);
  return true;
}

}  // namespace
}  // namespace bnn

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  using namespace bnn;
  SplitMix64 random{seed};
  if (random.below(2) || !rebuild(data, &size, max_size, &random)) {
    size = LLVMFuzzerMutate(data, size, max_size);
  }
  if (random.below(64)) repair_header(reinterpret_cast<char*>(data), size);
  return size;
}
