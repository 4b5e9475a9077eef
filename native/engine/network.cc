#include "engine/network.h"

#include <algorithm>
#include <new>

namespace bnn {
namespace {

size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

std::unique_ptr<Network> Network::load(const void* data, size_t size, const char* kernel,
                                       Status* status) {
  BnnFile file;
  if (!file.parse(data, size, status)) return nullptr;
  if (!file.has_constants()) {
    status->fail(Code::kMalformed, "a plan without constants cannot be run as a network");
    return nullptr;
  }
  std::unique_ptr<Network> network(new (std::nothrow) Network);
  if (!network) {
    status->fail(Code::kNoMemory, "no memory for a network");
    return nullptr;
  }
  if (network->choose(file, kernel, status) && network->prepare(file, status) &&
      network->plan_arena(status)) {
    return network;
  }
  return nullptr;
}

bool Network::choose(const BnnFile& file, const char* kernel, Status* status) {
  KernelChoice choice{};
  if (!KernelChoice::parse(kernel, &choice, status)) return false;
  count_ = file.steps();
  steps_.reset(new (std::nothrow) PreparedStep[count_]);
  tensors_.reset(new (std::nothrow) Tensors[count_]);
  if (!steps_ || !tensors_) return status->fail(Code::kNoMemory, "no memory for %d steps", count_);
  for (int i = 0; i < count_; ++i) {
    if (!choose_kernel(i, file.step(i), choice, &steps_[i], status)) return false;
  }
  return true;
}

bool Network::prepare(const BnnFile& file, Status* status) {
  for (int i = 0; i < count_; ++i) constant_bytes_ += prepared_bytes(steps_[i]);
  constants_ = allocate(constant_bytes_);
  if (!constants_)
    return status->fail(Code::kNoMemory, "no memory for %zu bytes of constants", constant_bytes_);
  char* place = constants_.get();
  for (int i = 0; i < count_; ++i) {
    prepare_constants(file.constants(i), place, &steps_[i]);
    place += prepared_bytes(steps_[i]);
  }
  return true;
}

size_t Network::output_bytes(int index) const {
  const Step& step = steps_[index].step;
  const size_t values =
      index + 1 < count_ ? step.out_values() * sizeof(float) : 0;  // the last goes to `result`
  return aligned(values) + aligned(step.out_words() * sizeof(uint64_t));
}

// In a chain the outputs of step i live while steps i and i+1 run. So outputs of even steps stand
// at the bottom of the arena and those of odd steps at its top: the size is the largest sum of two
// neighbours, which no plan can beat.
//
//   | outputs of even steps ->      <- outputs of odd steps | scratch |
bool Network::plan_arena(Status* status) {
  size_t outputs = output_bytes(0), scratch = 0;
  for (int i = 0; i < count_; ++i) {
    if (i > 0) outputs = std::max(outputs, output_bytes(i - 1) + output_bytes(i));
    scratch = std::max(scratch, scratch_bytes(steps_[i].step));
  }
  arena_bytes_ = outputs + scratch;
  arena_ = allocate(arena_bytes_);
  if (!arena_)
    return status->fail(Code::kNoMemory, "no memory for an arena of %zu bytes", arena_bytes_);
  scratch_ = arena_.get() + outputs;
  for (int i = 0; i < count_; ++i) {
    const Step& step = steps_[i].step;
    char* place = arena_.get() + (i % 2 ? outputs - output_bytes(i) : 0);
    tensors_[i] = {nullptr, nullptr};
    if (step.float_out && i + 1 < count_) {
      tensors_[i].values = reinterpret_cast<float*>(place);
      place += aligned(step.out_values() * sizeof(float));
    }
    if (step.bits_out) tensors_[i].bits = reinterpret_cast<uint64_t*>(place);
  }
  return true;
}

void Network::run(const float* image, float* result) {
  for (int i = 0; i < count_; ++i) run_step(i, image, result);
}

void Network::run_step(int index, const float* image, float* result, int32_t* sums) {
  const StepInput in = index ? StepInput{tensors_[index - 1].values, tensors_[index - 1].bits}
                             : StepInput{image, nullptr};
  const bool last = index + 1 == count_;
  const StepOutput out{last ? result : tensors_[index].values, tensors_[index].bits, sums};
  bnn::run_step(steps_[index], in, out, scratch_);
}

}  // namespace bnn
