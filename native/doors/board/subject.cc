#include "doors/board/subject.h"

#include <cstdio>

#include "engine/invent.h"
#include "engine/tune.h"

namespace bnn {

void Subject::make(int index, const Step& step, const KernelChoice& choice, uint64_t seed) {
  index_ = index;
  seed_ = seed;
  Status status;
  if (!choose_kernel(index, step, choice, &prepared_, &status)) {
    std::snprintf(error_, sizeof error_, "%s", status.message);
    return;
  }
  if (!choice.kernel) tune(&prepared_, 1);
  InventedConstants invented;
  if (!invented.make(step, seed) || !prepare_owned(invented.constants, &prepared_, &memory_) ||
      !rehearsal_.make(step, seed)) {
    std::snprintf(error_, sizeof error_, "step %d: no memory for it", index);
  }
}

Work Subject::work() {
  return {[](void* self) {
            const Subject* subject = static_cast<const Subject*>(self);
            subject->rehearsal_.run(subject->prepared_);
          },
          this};
}

}  // namespace bnn
