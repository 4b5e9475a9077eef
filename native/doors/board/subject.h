// One step of a plan made ready to be checked and timed: invented constants, prepared as the
// executor prepares real ones, and run by the executor's own function on rows that stand as a
// network's do. In a network the other steps' constants pass through the cache between two rows of
// a step, and those of other segments between two runs. So a step alone has copies of its own
// constants: a row takes them from the second level, and a run, if they are large, from behind it;
// images come from there, too.
#pragma once

#include <vector>

#include "doors/board/measure.h"
#include "engine/rehearsal.h"

namespace bnn {

class Subject {
 public:
  // Invents constants and inputs from `seed`. Runs find their constants where a network would, in
  // the second level of the cache or behind it; `warm`: where the run before left them. On failure
  // error() says why and nothing else may be called.
  void make(int index, const Step& step, const KernelChoice& choice, uint64_t seed, bool warm);

  bool ok() const { return error_[0] == '\0'; }
  const char* error() const { return error_; }
  int index() const { return index_; }
  const PreparedStep& prepared() const { return copies_[0]; }

  // Compares one run on whole tensors with the scalar kernels (check.cc); error() says what
  // differs.
  void check();

  // Its run as a thing to be timed.
  Work work();

  // Whether it is timed turn by turn: convolutions with floats. Those with an integer epilogue,
  // whose tensors are small, pools and linear steps are timed whole.
  bool takes_turns() const;
  // The next rows of a run, as many as a network's step makes at a time; else all of it. True: it
  // ended.
  bool turn();

  // Brings its memory back into the caches, from which other subjects have driven it.
  void warm_up();

 private:
  void run();

  int index_ = 0;
  uint64_t seed_ = 0;
  char error_[320] = "";
  std::vector<PreparedStep> copies_;
  size_t row_copies_ = 1, bytes_ = 0;
  int turn_rows_ = 1, images_ = 1;
  size_t first_ = 0, copy_ = 0;  // the copies that this run began with and that its next turn takes
  int image_ = 0, row_ = 0;      // the image that this run reads, and its next row
  Memory memory_;                // of all copies
  Rehearsal rehearsal_;
};

}  // namespace bnn
