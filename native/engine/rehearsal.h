// One step on its own, run the way a network runs it: rows come from rings of the size that the
// step needs, in the first level of the cache, and go to a ring so long that it is in the second:
// in a network other steps' rows pass before a place is written again. A pool, a linear step, a
// convolution of the image (a float convolution larger than 1x1) and a step with an integer
// epilogue, whose tensors are small, read whole tensors. There may be several images, since a
// network gets a new one for each run. Inputs are invented; rings repeat, so the results mean
// nothing and only their time does.
#pragma once

#include "engine/tensors.h"

namespace bnn {

class Rehearsal {
 public:
  // False: no memory.
  bool make(const Step& step, uint64_t seed, int images = 1);

  // The prepared step is one of the step that this was made for. The rows of a convolution one by
  // one, of that image if it reads one; any step as a whole.
  void run_row(const PreparedStep& prepared, int y, int image = 0) const {
    StepInput in = input_.as_input();
    in.values.base += size_t(image) * prepared.step.shape.in_h * in.values.stride;
    run_step_row(prepared, in, output_.rows(), y, scratch_.get());
  }
  void run(const PreparedStep& prepared) const {
    run_step(prepared, input_.as_input(), output_.rows(), scratch_.get());
  }

  // Whether a step reads an image.
  static bool reads_image(const Step& step) {
    return step.kind == StepKind::kConv2d && step.shape.kernel > 1;
  }

 private:
  Tensors input_, output_;
  OwnScratch scratch_;
};

}  // namespace bnn
