// Running one step, row by row: the executor, the profiler and the tracer all call these functions.
// Nothing is allocated, nothing can fail.
#pragma once

#include "engine/prepare.h"
#include "engine/rows.h"

namespace bnn {

// What Scratch must hold for a step, in elements; 0 where it needs none.
size_t shortcut_floats(const Step& step);
size_t activation_floats(const Step& step);
size_t tap_count(const Step& step);

// Words of a packed input row, its border included; 0 if the step reads no bits.
size_t in_words(const Step& step);

// Fills Scratch::taps for a step that reads bits. zeros: in_words(step) words of 0, the row above
// and below the image.
void find_taps(const Step& step, const Rows<const uint64_t>& bits, const uint64_t* zeros,
               const uint64_t** taps);

// Row y of a step by rows. Its input rows first_row(y) .. last_row(y) must be there (step.h). An
// output whose base is null is not written.
void run_step_row(const PreparedStep& prepared, const StepInput& in, const StepOutput& out, int y,
                  const Scratch& scratch);

// Outputs begin .. end - 1 of a linear step.
void run_linear(const PreparedStep& prepared, const StepInput& in, const StepOutput& out, int begin,
                int end);

// The whole step. A pool reads a whole tensor, its rows one after another.
void run_step(const PreparedStep& prepared, const StepInput& in, const StepOutput& out,
              const Scratch& scratch);

}  // namespace bnn
