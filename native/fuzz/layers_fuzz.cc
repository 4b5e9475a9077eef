// Any bytes as a plan for `bnn-board layers`: refused with a message, or every step made ready,
// compared with the scalar kernels, and run as it is timed. A wrong result is a finding.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "doors/board/subject.h"
#include "fuzz/fuzz.h"

namespace bnn {
namespace {

constexpr int kMostSteps = 8;

void rehearse(const BnnFile& file, uint32_t number) {
  Status status;
  KernelChoice choice{};
  if (!KernelChoice::parse(kernel_by_number(number >> 8), &choice, &status)) std::abort();
  for (int i = 0; i < file.steps() && i < kMostSteps; ++i) {
    Subject subject;
    subject.make(i, file.step(i), choice, number, number % 16 != 0);
    if (!subject.ok()) continue;
    subject.check();
    if (!subject.ok()) {
      std::fprintf(stderr, "%s\n", subject.error());
      std::abort();
    }
    const Work work = subject.work();
    for (int run = 0; run < 2; ++run) work.call(work.context);
  }
}

}  // namespace
}  // namespace bnn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bnn;
  const Memory plan = exact_copy(data, size);
  if (!repair_header(plan.get(), size)) return 0;
  Status status;
  BnnFile file;
  if (!file.parse(plan.get(), size, &status)) {
    if (!*status.message) std::abort();
  } else if (is_quick(file, number_of(plan.get()))) {
    rehearse(file, number_of(plan.get()));
  }
  return 0;
}
