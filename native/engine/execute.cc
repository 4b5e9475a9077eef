#include "engine/execute.h"

#include <cstring>

namespace bnn {
namespace {

void run_bconv2d(const PreparedStep& prepared, const StepInput& in, const StepOutput& out,
                 int32_t* acc) {
  const Step& step = prepared.step;
  const ConvShape& shape = step.shape;
  const size_t row = size_t(shape.out_w) * shape.out_c;
  const EpilogueOutput to{out.values, out.bits, step.border};
  for (int y = 0; y < shape.out_h; ++y) {
    prepared.kernel->run_row(shape, in.bits, prepared.weights, y, acc);
    if (out.sums) std::memcpy(out.sums + row * y, acc, row * sizeof *acc);
    if (prepared.integer_threshold) {
      threshold_row(prepared.isa, shape, prepared.integer_threshold, acc, y, out.bits, step.border);
    } else {
      epilogue_row(prepared.isa, shape, step.shortcut, prepared.epilogue, acc,
                   step.shortcut == Shortcut::kNone ? nullptr : in.values, y, to);
    }
  }
}

void run_conv2d(const PreparedStep& prepared, const StepInput& in, const StepOutput& out,
                float* row) {
  const ConvShape& shape = prepared.step.shape;
  const EpilogueOutput to{out.values, out.bits, prepared.step.border};
  for (int y = 0; y < shape.out_h; ++y) {
    conv2d_row(prepared.isa, shape, in.values, prepared.weights, prepared.bias, y, row);
    float_epilogue_row(prepared.isa, shape, prepared.epilogue, row, y, to);
  }
}

}  // namespace

size_t scratch_bytes(const Step& step) {
  const bool convolution = step.kind == StepKind::kConv2d || step.kind == StepKind::kBconv2d;
  static_assert(sizeof(int32_t) == sizeof(float), "one size for both kinds of rows");
  return convolution ? (sizeof(float) * step.shape.out_w * step.shape.out_c + 63) / 64 * 64 : 0;
}

void run_step(const PreparedStep& prepared, const StepInput& in, const StepOutput& out,
              void* scratch) {
  const Step& step = prepared.step;
  const ConvShape& shape = step.shape;
  if (out.bits) zero_border(out.bits, shape.out_h, shape.out_w, words_of(shape.out_c), step.border);
  switch (step.kind) {
    case StepKind::kBconv2d:
      run_bconv2d(prepared, in, out, static_cast<int32_t*>(scratch));
      break;
    case StepKind::kConv2d:
      run_conv2d(prepared, in, out, static_cast<float*>(scratch));
      break;
    case StepKind::kGlobalAvgpool:
      global_avgpool(in.values, shape.in_h, shape.in_w, shape.in_c, out.values);
      break;
    case StepKind::kLinear:
      linear(prepared.isa, in.values, static_cast<const float*>(prepared.weights), prepared.bias,
             shape.in_c, shape.out_c, out.values);
      break;
  }
}

}  // namespace bnn
