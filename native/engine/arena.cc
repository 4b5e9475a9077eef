#include "engine/arena.h"

#include <algorithm>
#include <new>

#include "engine/places.h"

namespace bnn {
namespace {

size_t value_row(const Step& step) { return size_t(step.shape.out_w) * step.shape.out_c; }

size_t bits_row(const Step& step) {
  return size_t(step.shape.out_w + 2 * step.border) * words_of(step.shape.out_c);
}

// A ring's rows begin at a cache line.
size_t aligned_row(size_t floats) { return (floats + 15) / 16 * 16; }

}  // namespace

bool Arena::plan(const PreparedStep* steps, int count, const Segment* segments, int segment_count,
                 int threads) {
  count_ = count;
  stages_.reset(new (std::nothrow) Stage[size_t(count) * threads]);
  size_t taps = 0;
  for (int i = 0; i < count; ++i) taps += tap_count(steps[i].step);
  taps_.reset(new (std::nothrow) const uint64_t*[taps * threads]);
  if (!stages_ || !taps_) return false;
  place(steps, segments, segment_count, threads);  // for the sizes
  bytes_ = values_bytes_ + bits_bytes_;
  values_ = allocate(values_bytes_);
  bits_ = allocate_zeroed(bits_bytes_);
  if (!values_ || !bits_) return false;
  place(steps, segments, segment_count, threads);
  const uint64_t** next = taps_.get();
  const uint64_t* zeros = reinterpret_cast<const uint64_t*>(bits_.get());
  for (int thread = 0; thread < threads; ++thread) {
    for (int i = 0; i < count; ++i) {
      if (steps[i].step.reads_bits()) {
        find_taps(steps[i].step, stages(thread)[i].in.bits, zeros, next);
      }
      stages(thread)[i].scratch.taps = next;
      next += tap_count(steps[i].step);
    }
  }
  return true;
}

void Arena::place(const PreparedStep* steps, const Segment* segments, int segment_count,
                  int threads) {
  for (size_t i = 0; i < size_t(count_) * threads; ++i) stages_[i] = {};
  Placer values(values_.get()), bits(bits_.get());
  size_t words = 0;
  for (int i = 0; i < count_; ++i) words = std::max(words, in_words(steps[i].step));
  bits.take<uint64_t>(words);  // zeros: the rows above and below every image
  place_outputs(steps, segments, segment_count, threads, &values, &bits);
  for (int thread = 0; thread < threads; ++thread) {
    place_rings(steps, segments, segment_count, thread, &values, &bits);
  }
  values_bytes_ = values.bytes();
  bits_bytes_ = bits.bytes();
}

void Arena::place_outputs(const PreparedStep* steps, const Segment* segments, int segment_count,
                          int threads, Placer* values, Placer* bits) {
  const auto bytes_of = [&](int segment) {
    const int last = segments[segment].end - 1;
    return last + 1 < count_ ? steps[last].step.out_values() * sizeof(float) + kPageBytes : 0;
  };
  size_t most = bytes_of(0);
  for (int s = 1; s < segment_count; ++s) most = std::max(most, bytes_of(s - 1) + bytes_of(s));
  for (int s = 0; s + 1 < segment_count; ++s) {
    const int last = segments[s].end - 1;
    const Step& step = steps[last].step;
    StepOutput out = {};
    if (step.float_out) {
      const size_t place = output_place(last);
      Placer whole = *values;
      whole.skip_to(s % 2 ? last_at(most - step.out_values() * sizeof(float), place)
                          : next_at(0, place));
      out.values = {whole.take<float>(step.out_values()), value_row(step), step.shape.out_h};
    }
    if (step.bits_out) {
      uint64_t* base = bits->take<uint64_t>(bits_row(step) * step.shape.out_h);
      out.bits = {base, bits_row(step), step.shape.out_h};
    }
    for (int thread = 0; thread < threads; ++thread) {
      stages(thread)[last].out = out;
      stages(thread)[last + 1].in = out.as_input();
    }
  }
  values->skip_to(most);
  // The image and the result come and go with a run; the result's bits have no reader.
  const Step &first = steps[0].step, &last = steps[count_ - 1].step;
  const Rows<const float> image = {nullptr, size_t(first.shape.in_w) * first.shape.in_c,
                                   first.shape.in_h};
  for (int thread = 0; thread < threads; ++thread) {
    stages(thread)[0].in.values = image;
    stages(thread)[count_ - 1].out.values = {nullptr, value_row(last), last.shape.out_h};
  }
}

void Arena::place_rings(const PreparedStep* steps, const Segment* segments, int segment_count,
                        int thread, Placer* values, Placer* bits) {
  size_t most = values->bytes();
  for (int i = 0; i < count_; ++i) {
    Placer row = *values;  // one for all
    row.skip_to(next_at(values->bytes(), scratch_place(i)));
    stages(thread)[i].scratch.shortcut = row.take<float>(shortcut_floats(steps[i].step));
    stages(thread)[i].scratch.dots = row.take<float>(activation_floats(steps[i].step));
    most = std::max(most, row.bytes());
  }
  values->skip_to(most);
  for (int s = 0; s < segment_count; ++s) {
    Placer rings = *values;  // every segment begins at the same place
    for (int i = segments[s].begin; i + 1 < segments[s].end; ++i) {
      const Step& step = steps[i].step;
      const RingRows rows = ring_rows(steps[i + 1].step);
      StepOutput out = {};
      if (step.float_out) {
        const size_t row = aligned_row(value_row(step));
        rings.skip_to(next_at(rings.bytes(), output_place(i)));
        out.values = {rings.take<float>(row * rows.values), row, rows.values};
      }
      if (step.bits_out) {
        out.bits = {bits->take<uint64_t>(bits_row(step) * rows.bits), bits_row(step), rows.bits};
      }
      stages(thread)[i].out = out;
      stages(thread)[i + 1].in = out.as_input();
    }
    most = std::max(most, rings.bytes());
  }
  values->skip_to(most);
}

}  // namespace bnn
