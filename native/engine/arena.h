// Where every activation of a network stands, planned once at load.
//
//   floats  | outputs of even segments ->   <- of odd ones | rings and shortcut row | of each
//   thread bits    | zeros | outputs of segments | rings of each thread |
//
// In a chain the floats of segment s live while the segments s and s + 1 run, so two places are
// enough; and the float rings of a segment take the place of those of the one before. Packed rows
// have memory of their own, a 32nd of the floats': their border is zeroed once, here.
#pragma once

#include "engine/execute.h"
#include "engine/memory.h"
#include "engine/rows.h"
#include "engine/segments.h"

namespace bnn {

// What a thread needs to run one step.
struct Stage {
  StepInput in;    // step 0: no base, the image is the caller's
  StepOutput out;  // the last step: no base, the result is the caller's
  Scratch scratch;
};

class Arena {
 public:
  // False: no memory.
  bool plan(const PreparedStep* steps, int count, const Segment* segments, int segment_count,
            int threads);

  size_t bytes() const { return bytes_; }
  Stage* stages(int thread) { return stages_.get() + size_t(thread) * count_; }

 private:
  void place(const PreparedStep* steps, const Segment* segments, int segment_count, int threads);
  void place_outputs(const PreparedStep* steps, const Segment* segments, int segment_count,
                     int threads, Placer* values, Placer* bits);
  void place_rings(const PreparedStep* steps, const Segment* segments, int segment_count,
                   int thread, Placer* values, Placer* bits);

  int count_ = 0;
  size_t bytes_ = 0, values_bytes_ = 0, bits_bytes_ = 0;
  std::unique_ptr<Stage[]> stages_;
  std::unique_ptr<const uint64_t*[]> taps_;  // of every stage
  Memory values_, bits_;
};

}  // namespace bnn
