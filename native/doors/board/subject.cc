#include "doors/board/subject.h"

#include <algorithm>
#include <cstdio>

#include "engine/invent.h"
#include "engine/segments.h"
#include "engine/tune.h"

namespace bnn {
namespace {

constexpr size_t kRowCopiesBytes = size_t(256) << 10;  // more than a first level holds
constexpr size_t kAllCopiesBytes = size_t(4) << 20;    // more than a second level holds
constexpr size_t kMostCopies = 32;

}  // namespace

void Subject::make(int index, const Step& step, const KernelChoice& choice, uint64_t seed,
                   bool warm) {
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
  const size_t copies = warm ? 1 : kAllCopiesBytes / bytes + 1;
  copies_.assign(std::clamp<size_t>(copies, 1, kMostCopies), prepared);
  row_copies_ = std::clamp<size_t>(kRowCopiesBytes / bytes, 1, copies_.size());
  turn_rows_ = turn_rows(step);
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

void Subject::run() {
  const Step& step = copies_[0].step;
  if (copies_.size() > 1) next_ = (next_ + row_copies_) % copies_.size();  // a division
  if (!step.convolves() || step.integer_threshold()) return rehearsal_.run(copies_[next_]);
  size_t copy = next_;
  for (int y = 0; y < step.shape.out_h;) {
    const int end = std::min(y + turn_rows_, step.shape.out_h);
    for (; y < end; ++y) rehearsal_.run_row(copies_[copy], y);
    if (row_copies_ > 1) copy = copy + 1 < copies_.size() ? copy + 1 : 0;
  }
}

Work Subject::work() {
  return {[](void* self) { static_cast<Subject*>(self)->run(); }, this};
}

}  // namespace bnn
