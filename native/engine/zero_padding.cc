#include "engine/zero_padding.h"

#include <algorithm>

#include "engine/memory.h"

namespace bnn {
namespace {

TapRange taps_inside(int first, int kernel, int size) {
  return {std::clamp(-first, 0, kernel), std::clamp(size - first, 0, kernel)};
}

// The windows of one axis: neighbours with the same taps inside are of one kind.
struct Axis {
  int out, stride, pad, kernel, size;

  TapRange taps(int i) const { return taps_inside(i * stride - pad, kernel, size); }
  bool like_the_one_before(int i) const {
    const TapRange a = taps(i - 1), b = taps(i);
    return a.from == b.from && a.to == b.to;
  }
  int kinds() const {
    int count = 1;
    for (int i = 1; i < out; ++i) count += !like_the_one_before(i);
    return count;
  }
};

Axis vertical(const ConvShape& s) { return {s.out_h, s.stride, s.pad_top, s.kernel, s.in_h}; }
Axis horizontal(const ConvShape& s) { return {s.out_w, s.stride, s.pad_left, s.kernel, s.in_w}; }

// kinds[i] is the kind of window i; first[kind] a window of it. Returns how many kinds there are.
int sort_kinds(const Axis& axis, int32_t* kinds, int32_t* first) {
  int count = 0;
  for (int i = 0; i < axis.out; ++i) {
    if (i == 0 || !axis.like_the_one_before(i)) first[count++] = i;
    kinds[i] = count - 1;
  }
  return count;
}

// The weights of one filter, added up: from the first tap to tap (ky - 1, kx - 1) in every
// direction stands at sums[ky, kx], [kernel + 1, kernel + 1].
class TapSums {
 public:
  TapSums(const ConvShape& s, int32_t* memory) : shape_(s), step_(s.kernel + 1), sums_(memory) {}

  void make(const uint64_t* filter) {
    const int channels = shape_.in_c_per_group(), words = words_of(channels);
    std::fill_n(sums_, step_, 0);
    for (int ky = 1; ky < step_; ++ky) {
      int32_t row = 0;
      sums_[ky * step_] = 0;
      for (int kx = 1; kx < step_; ++kx, filter += words) {
        row += channels;
        for (int i = 0; i < words; ++i) row -= 2 * __builtin_popcountll(filter[i]);
        sums_[ky * step_ + kx] = sums_[(ky - 1) * step_ + kx] + row;
      }
    }
  }
  int outside(TapRange y, TapRange x) const {
    return at(step_ - 1, step_ - 1) - at(y.to, x.to) + at(y.from, x.to) + at(y.to, x.from) -
           at(y.from, x.from);
  }

 private:
  int at(int ky, int kx) const { return sums_[ky * step_ + kx]; }

  const ConvShape& shape_;
  const int step_;
  int32_t* sums_;
};

struct Places {
  int32_t *rows, *columns, *first_row, *first_column, *tap_sums;
  float* corrections;
  size_t bytes;

  Places(const ConvShape& s, char* base) {
    Placer placer(base);
    rows = placer.take<int32_t>(size_t(s.out_h));
    columns = placer.take<int32_t>(size_t(s.out_w));
    const int row_kinds = vertical(s).kinds(), column_kinds = horizontal(s).kinds();
    first_row = placer.take<int32_t>(size_t(row_kinds));
    first_column = placer.take<int32_t>(size_t(column_kinds));
    tap_sums = placer.take<int32_t>(size_t(s.kernel + 1) * (s.kernel + 1));
    corrections = placer.take<float>(size_t(row_kinds) * column_kinds * s.out_c);
    bytes = placer.bytes();
  }
};

}  // namespace

size_t ZeroPadding::bytes(const Step& step) {
  return step.zero_padding ? Places(step.shape, nullptr).bytes : 0;
}

void ZeroPadding::prepare(const Step& step, const uint64_t* weights, const float* scale,
                          void* memory) {
  const ConvShape& s = step.shape;
  const Places places(s, static_cast<char*>(memory));
  const int row_kinds = sort_kinds(vertical(s), places.rows, places.first_row);
  column_kinds_ = sort_kinds(horizontal(s), places.columns, places.first_column);
  rows_ = places.rows;
  columns_ = places.columns;
  corrections_ = places.corrections;
  const size_t filter_words = size_t(s.kernel) * s.kernel * words_of(s.in_c_per_group()),
               channels = size_t(s.out_c);
  TapSums sums(s, places.tap_sums);
  for (size_t o = 0; o < channels; ++o) {
    sums.make(weights + o * filter_words);
    for (int row = 0; row < row_kinds; ++row) {
      const TapRange y = vertical(s).taps(places.first_row[row]);
      for (int column = 0; column < column_kinds_; ++column) {
        const TapRange x = horizontal(s).taps(places.first_column[column]);
        const size_t kind = size_t(row) * column_kinds_ + column;
        places.corrections[kind * channels + o] = -scale[o] * float(sums.outside(y, x));
      }
    }
  }
}

void ZeroPadding::add(const Step& step, int y, float* row) const {
  const size_t channels = size_t(step.shape.out_c);
  const float* kinds = corrections_ + size_t(rows_[y]) * column_kinds_ * channels;
  const ConvShape& s = step.shape;
  const bool whole_row = vertical(s).taps(y).whole(s.kernel);
  for (int x = 0; x < s.out_w; ++x, row += channels) {
    if (whole_row && horizontal(s).taps(x).whole(s.kernel)) continue;
    const float* correction = kinds + size_t(columns_[x]) * channels;
    for (size_t o = 0; o < channels; ++o) row[o] += correction[o];
  }
}

}  // namespace bnn
