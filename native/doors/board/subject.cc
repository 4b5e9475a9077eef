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

size_t copies_of(size_t bytes) {
  return std::clamp<size_t>(kAllCopiesBytes / bytes + 1, 1, kMostCopies);
}

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
  copies_.assign(warm ? 1 : copies_of(bytes), prepared);
  row_copies_ = std::clamp<size_t>(kRowCopiesBytes / bytes, 1, copies_.size());
  turn_rows_ = turn_rows(step);
  if (Rehearsal::reads_image(step) && !warm) {
    const ConvShape& s = step.shape;
    images_ = int(copies_of(size_t(s.in_h) * s.in_w * s.in_c * sizeof(float)));
  }
  InventedConstants invented;
  bytes_ = copies_.size() * bytes;
  memory_ = allocate(bytes_);
  if (!memory_ || !invented.make(step, seed) || !rehearsal_.make(step, seed, images_)) {
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
  if (Rehearsal::reads_image(step)) {
    image_ = image_ + 1 < images_ ? image_ + 1 : 0;
    return rehearsal_.run(copies_[next_], image_);
  }
  if (!step.convolves() || step.integer_threshold()) return rehearsal_.run(copies_[next_]);
  size_t copy = next_;
  for (int y = 0; y < step.shape.out_h;) {
    const int end = std::min(y + turn_rows_, step.shape.out_h);
    for (; y < end; ++y) rehearsal_.run_row(copies_[copy], y);
    if (row_copies_ > 1) copy = copy + 1 < copies_.size() ? copy + 1 : 0;
  }
}

void Subject::warm_up() {
  const volatile char* constants = memory_.get();
  for (size_t i = 0; i < bytes_; i += 64) constants[i];
  for (int i = 0; i < images_; ++i) run();
}

Work Subject::work() {
  return {[](void* self) { static_cast<Subject*>(self)->run(); }, this};
}

}  // namespace bnn
