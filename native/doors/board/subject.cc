#include "doors/board/subject.h"

#include <algorithm>
#include <cstdio>

#include "engine/invent.h"
#include "engine/tune.h"

namespace bnn {
namespace {

// More than a second level holds; of constants so small that this takes more copies than the most,
// the time to load them is nothing beside that of the step.
constexpr size_t kAllCopiesBytes = size_t(4) << 20;
constexpr size_t kMostCopies = 32;

}  // namespace

void Subject::make(int index, const Step& step, const KernelChoice& choice, uint64_t seed) {
  index_ = index;
  seed_ = seed;
  Status status;
  PreparedStep prepared;
  if (!choose_kernel(index, step, choice, &prepared, &status)) {
    std::snprintf(error_, sizeof error_, "%s", status.message);
    return;
  }
  if (!choice.kernel) tune(&prepared, 1);
  const size_t bytes = std::max<size_t>(prepared_bytes(prepared), 64);
  copies_.assign(std::clamp<size_t>(kAllCopiesBytes / bytes + 1, 1, kMostCopies), prepared);
  InventedConstants invented;
  memory_ = allocate(copies_.size() * bytes);
  if (!memory_ || !invented.make(step, seed) || !rehearsal_.make(step, seed)) {
    std::snprintf(error_, sizeof error_, "step %d: no memory for it", index);
    return;
  }
  for (size_t i = 0; i < copies_.size(); ++i) {
    prepare_constants(invented.constants, memory_.get() + i * bytes, &copies_[i]);
  }
}

Work Subject::work() {
  return {[](void* self) {
            Subject* subject = static_cast<Subject*>(self);
            subject->next_ = (subject->next_ + 1) % subject->copies_.size();
            subject->rehearsal_.run(subject->copies_[subject->next_]);
          },
          this};
}

}  // namespace bnn
