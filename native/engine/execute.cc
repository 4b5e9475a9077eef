#include "engine/execute.h"

#include <algorithm>
#include <cstring>

namespace bnn {
namespace {

// The row that the step's shortcut adds to row y of the output.
ShortcutRow plain_shortcut_row(const PreparedStep& prepared, const StepInput& in, int y,
                               float* scratch) {
  const ConvShape& shape = prepared.step.shape;
  switch (prepared.step.shortcut) {
    case Shortcut::kIdentity:
      return {in.values.row(y), shape.in_c};
    case Shortcut::kRepeat:
      if (shape.in_c % 16 == 0 || shape.in_c == shape.out_c) return {in.values.row(y), shape.in_c};
      repeat_row(shape, shape.in_c, in.values.row(y), scratch);
      return {scratch, shape.out_c};
    case Shortcut::kAvgPool:
      avgpool_row(prepared.isa, shape, in.values.row(2 * y),
                  2 * y + 1 < shape.in_h ? in.values.row(2 * y + 1) : nullptr, scratch);
      return {scratch, shape.out_c};
    case Shortcut::kNone:
      break;
  }
  return {nullptr, 0};
}

// With the corrections of zero padding, in scratch memory.
ShortcutRow shortcut_row(const PreparedStep& prepared, const StepInput& in, int y, float* scratch) {
  const ShortcutRow plain = plain_shortcut_row(prepared, in, y, scratch);
  if (!prepared.step.zero_padding) return plain;
  const ConvShape& shape = prepared.step.shape;
  if (!plain.values) {
    std::fill_n(scratch, size_t(shape.out_w) * shape.out_c, 0.0f);
  } else if (plain.values != scratch) {
    repeat_row(shape, plain.channels, plain.values, scratch);
  }
  prepared.zero_padding.add(prepared.step, y, scratch);
  return {scratch, shape.out_c};
}

// Kernels set the bits of every whole word; of a last word that channels do not fill they set the
// bytes that have channels.
RowOutput output_row(const Step& step, const StepOutput& out, int y) {
  const size_t words = words_of(step.shape.out_c);
  RowOutput row = {nullptr, nullptr};
  if (out.values.base) row.values = out.values.row(y);
  if (out.bits.base) {
    row.bits = out.bits.row(y) + step.border * words;
    if (step.shape.out_c % 64)
      std::memset(row.bits, 0, step.shape.out_w * words * sizeof(uint64_t));
  }
  return row;
}

void run_bconv2d_row(const PreparedStep& prepared, const StepInput& in, const StepOutput& out,
                     int y, const Scratch& scratch) {
  const Step& step = prepared.step;
  const uint64_t* const* taps = scratch.taps + y * step.shape.stride;
  const RowOutput row = output_row(step, out, y);
  if (step.integer_threshold()) {
    prepared.kernel->run_threshold_rows(step.shape, prepared.weights, {taps, 0, row.bits, 0, 1});
  } else {
    const ShortcutRow shortcut = shortcut_row(prepared, in, y, scratch.shortcut);
    if (step.activation == Activation::kNone) {
      prepared.kernel->run_row(step.shape, prepared.weights, prepared.epilogue,
                               {taps, shortcut, row});
    } else {
      prepared.kernel->run_row(step.shape, prepared.weights, prepared.dots,
                               {taps, {nullptr, 0}, {scratch.dots, nullptr}});
      activated_row(prepared.isa, step.shape, scratch.dots, bounds_of(step.activation),
                    prepared.epilogue, shortcut, row);
    }
  }
}

// All rows of a step with an integer epilogue, in one call; the output is a whole tensor.
void run_thresholds(const PreparedStep& prepared, const StepOutput& out, const Scratch& scratch) {
  const ConvShape& shape = prepared.step.shape;
  uint64_t* bits = output_row(prepared.step, out, 0).bits;
  for (int y = 1; shape.out_c % 64 && y < shape.out_h; ++y) output_row(prepared.step, out, y);
  prepared.kernel->run_threshold_rows(
      shape, prepared.weights, {scratch.taps, shape.stride, bits, out.bits.stride, shape.out_h});
}

void run_conv2d_row(const PreparedStep& prepared, const StepInput& in, const StepOutput& out,
                    int y) {
  const ConvShape& shape = prepared.step.shape;
  const float* taps[kMaxKernel];
  const int first = shape.window_row(y);
  for (int ky = 0; ky < shape.kernel; ++ky) {
    const int in_y = first + ky;
    taps[ky] = in_y >= 0 && in_y < shape.in_h ? in.values.row(in_y) : nullptr;
  }
  conv2d_row(prepared.isa, shape, taps, prepared.weights, prepared.epilogue,
             output_row(prepared.step, out, y));
}

}  // namespace

size_t shortcut_floats(const Step& step) {
  const bool made = step.shortcut == Shortcut::kAvgPool || step.shortcut == Shortcut::kRepeat ||
                    step.zero_padding;
  return made ? size_t(step.shape.out_w) * step.shape.out_c : 0;
}

size_t activation_floats(const Step& step) {
  const bool any = step.activation != Activation::kNone;
  return any ? size_t(step.shape.out_w) * step.shape.out_c : 0;
}

size_t tap_count(const Step& step) {
  const ConvShape& s = step.shape;
  return step.reads_bits() ? size_t(s.out_h - 1) * s.stride + s.kernel : 0;
}

size_t in_words(const Step& step) {
  return step.reads_bits() ? size_t(step.shape.padded_w()) * words_of(step.shape.in_c) : 0;
}

void find_taps(const Step& step, const Rows<const uint64_t>& bits, const uint64_t* zeros,
               const uint64_t** taps) {
  const ConvShape& s = step.shape;
  for (int i = 0; i < int(tap_count(step)); ++i) {
    const int y = s.window_row(0) + i;
    taps[i] = (y >= 0 && y < s.in_h ? bits.row(y) : zeros) + s.window_word();
  }
}

void run_step_row(const PreparedStep& prepared, const StepInput& in, const StepOutput& out, int y,
                  const Scratch& scratch) {
  switch (prepared.step.kind) {
    case StepKind::kBconv2d:
      return run_bconv2d_row(prepared, in, out, y, scratch);
    case StepKind::kPack:
      return pack_row(prepared.isa, prepared.step.shape, in.values.row(y), prepared.epilogue,
                      output_row(prepared.step, out, y));
    default:
      return run_conv2d_row(prepared, in, out, y);
  }
}

void run_linear(const PreparedStep& prepared, const StepInput& in, const StepOutput& out, int begin,
                int end) {
  const ConvShape& shape = prepared.step.shape;
  linear(prepared.isa, in.values.base,
         static_cast<const float*>(prepared.weights) + size_t(begin) * shape.in_c,
         prepared.epilogue.bias + begin, shape.in_c, end - begin, out.values.base + begin);
}

void run_step(const PreparedStep& prepared, const StepInput& in, const StepOutput& out,
              const Scratch& scratch) {
  const ConvShape& shape = prepared.step.shape;
  switch (prepared.step.kind) {
    case StepKind::kConv2d:
    case StepKind::kBconv2d:
    case StepKind::kPack:
      if (prepared.step.integer_threshold()) return run_thresholds(prepared, out, scratch);
      for (int y = 0; y < shape.out_h; ++y) run_step_row(prepared, in, out, y, scratch);
      break;
    case StepKind::kGlobalAvgpool:
      global_avgpool(prepared.isa, in.values.base, shape.in_h, shape.in_w, shape.in_c,
                     out.values.base);
      break;
    case StepKind::kLinear:
      run_linear(prepared, in, out, 0, shape.out_c);
      break;
  }
}

}  // namespace bnn
