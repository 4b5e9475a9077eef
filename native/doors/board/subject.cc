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

bool Subject::takes_turns() const {
  const Step& step = prepared().step;
  return step.by_rows() && !step.integer_threshold();
}

bool Subject::turn() {
  if (row_ == 0) {
    if (copies_.size() > 1) first_ = (first_ + row_copies_) % copies_.size();  // a division
    copy_ = first_;
    image_ = image_ + 1 < images_ ? image_ + 1 : 0;
  }
  if (!takes_turns()) {
    rehearsal_.run(copies_[copy_]);
    return true;
  }
  const int out_h = prepared().step.shape.out_h, end = std::min(row_ + turn_rows_, out_h);
  for (; row_ < end; ++row_) rehearsal_.run_row(copies_[copy_], row_, image_);
  if (row_copies_ > 1) copy_ = copy_ + 1 < copies_.size() ? copy_ + 1 : 0;
  if (end < out_h) return false;
  row_ = 0;
  return true;
}

void Subject::run() {
  while (!turn()) {
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
