// A network runs in segments of consecutive steps. Inside a segment steps run row by row, pulled by
// the last one, and only the output of the last one is a whole tensor; the others stand in rings
// of a few rows.
#pragma once

#include "engine/prepare.h"

namespace bnn {

struct SegmentLimits {
  // Prepared constants of a segment, in bytes: every row pulls all of them through the cache once,
  // so they stay in the second level beside the rings: half of 1 MiB.
  size_t constant_bytes = size_t(512) << 10;
  // Of the work of a segment, in percent: rows that more than one thread computes, for the windows
  // at the edge of its band reach into the neighbour's.
  int recomputed_percent = 3;
};

struct Segment {
  int begin, end;  // steps
};

// Output rows that a step makes in one turn, before the steps around it take theirs: a step that
// comes back finds its code and constants cold, so rows of little work come several at a time.
int turn_rows(const Step& step);

// Rows that must stand in the ring of a step's input while it takes any turn.
struct RingRows {
  int values, bits;
};
RingRows ring_rows(const Step& reader);

struct Band {
  int begin, end;  // rows
};

// The output rows of thread `thread`.
Band band_of(int rows, int thread, int threads);

// The rows of its input that a convolution reads for these rows of its output.
Band input_band(const Step& step, Band band);

// Cuts the network into at most `count` segments; returns how many. Pools and linear steps, which
// need whole inputs, are segments of their own. A pointwise convolution stays with the convolution
// before it: it reads no row but its own, and its input is hot.
int cut_segments(const PreparedStep* steps, int count, int threads, const SegmentLimits& limits,
                 Segment* segments);

}  // namespace bnn
