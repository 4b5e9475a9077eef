#include "engine/segments.h"

#include <algorithm>

namespace bnn {
namespace {

constexpr int kMostSteps = 64;  // of a segment: pulling a row recurses as deep

// Roughly the instructions of one output row: a vector operation on 64 bits, or on 2 floats, for
// every word of the window, and a few for the epilogue.
double row_work(const Step& step) {
  const ConvShape& s = step.shape;
  const double window = double(s.k_bits()) / (step.kind == StepKind::kConv2d ? 2 : 64);
  return double(s.out_w) * s.out_c * (window + 4);
}

// Whether step `index` must stand in the segment of the step before it.
bool stays(const PreparedStep* steps, int index) {
  const Step &before = steps[index - 1].step, &step = steps[index].step;
  return before.convolves() && step.convolves() && step.shape.kernel == 1 &&
         step.shape.stride == 1 && before.shape.kernel > 1;
}

// Whether the threads' bands overlap little enough.
bool bands_fit(const PreparedStep* steps, Segment segment, int threads, int recomputed_percent) {
  const int rows = steps[segment.end - 1].step.shape.out_h;
  double work = 0, once = 0;
  for (int thread = 0; thread < threads; ++thread) {
    Band band = band_of(rows, thread, threads);
    for (int i = segment.end - 1; i >= segment.begin && band.begin < band.end; --i) {
      work += row_work(steps[i].step) * (band.end - band.begin);
      band = input_band(steps[i].step, band);
    }
  }
  Band band = {0, rows};
  for (int i = segment.end - 1; i >= segment.begin; --i) {
    once += row_work(steps[i].step) * (band.end - band.begin);
    band = input_band(steps[i].step, band);
  }
  return (work - once) * 100 <= work * recomputed_percent;
}

}  // namespace

int turn_rows(const Step& step) {
  constexpr size_t kTurnBytes = size_t(32) << 10;  // of floats: more would leave the first level
  const size_t row_bytes = size_t(step.shape.out_w) * step.shape.out_c * sizeof(float);
  return int(std::clamp<size_t>(kTurnBytes / row_bytes, 1, size_t(step.shape.out_h)));
}

RingRows ring_rows(const Step& reader) {
  const ConvShape& s = reader.shape;
  const int turn = turn_rows(reader);
  RingRows rows = {1, 1};
  for (int y = 0; y < s.out_h; ++y) {
    const int last = reader.last_row(std::min(y + turn, s.out_h) - 1);
    const int first_value = reader.reads_bits() ? y * s.stride : reader.first_row(y);
    rows.values = std::max(rows.values, last - first_value + 1);
    rows.bits = std::max(rows.bits, last - reader.first_row(y) + 1);
  }
  return rows;
}

Band band_of(int rows, int thread, int threads) {
  return {int(int64_t(rows) * thread / threads), int(int64_t(rows) * (thread + 1) / threads)};
}

Band input_band(const Step& step, Band band) {
  return {step.first_row(band.begin), step.last_row(band.end - 1) + 1};
}

int cut_segments(const PreparedStep* steps, int count, int threads, const SegmentLimits& limits,
                 Segment* segments) {
  int segment_count = 0;
  size_t bytes = 0;
  for (int begin = 0, end; begin < count; begin = end) {
    // begin .. end - 1: steps that stay together
    size_t part_bytes = prepared_bytes(steps[begin]);
    for (end = begin + 1; end < count && stays(steps, end); ++end) {
      part_bytes += prepared_bytes(steps[end]);
    }
    Segment* last = segment_count > 0 ? segments + segment_count - 1 : nullptr;
    const bool joins = last && steps[begin].step.by_rows() && steps[begin - 1].step.by_rows() &&
                       end - last->begin <= kMostSteps &&
                       bytes + part_bytes <= limits.constant_bytes &&
                       bands_fit(steps, {last->begin, end}, threads, limits.recomputed_percent);
    if (joins) {
      last->end = end;
      bytes += part_bytes;
    } else {
      segments[segment_count++] = {begin, end};
      bytes = part_bytes;
    }
  }
  return segment_count;
}

}  // namespace bnn
