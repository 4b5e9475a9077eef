#include "engine/bnn_format.h"

#include <cstring>

namespace bnn {
namespace {

constexpr int32_t kFlagRprelu = 1, kFlagFloatOut = 2, kFlagBitsOut = 4, kFlagZeroPadding = 8;
constexpr int32_t kAllFlags = kFlagRprelu | kFlagFloatOut | kFlagBitsOut | kFlagZeroPadding;

}  // namespace

bool read_record(int index, const int32_t* fields, Step* step, Status* status) {
  if (fields[0] < 0 || fields[0] > int32_t(kLastStepKind)) {
    return status->fail(Code::kMalformed, "step %d: unknown kind %d", index, fields[0]);
  }
  if (fields[10] < 0 || fields[10] > int32_t(Shortcut::kRepeat)) {
    return status->fail(Code::kMalformed, "step %d: unknown shortcut %d", index, fields[10]);
  }
  if (fields[11] & ~kAllFlags) {
    return status->fail(Code::kMalformed, "step %d: unknown flags 0x%x", index,
                        unsigned(fields[11]));
  }
  if (fields[13] < 0 || fields[13] > int32_t(kLastActivation)) {
    return status->fail(Code::kMalformed, "step %d: unknown activation %d", index, fields[13]);
  }
  if (fields[14] || fields[15]) {
    return status->fail(Code::kMalformed, "step %d: fields 14 and 15 must be zero", index);
  }
  step->kind = StepKind(fields[0]);
  step->shape = {fields[1], fields[2], fields[3], fields[4], fields[5], fields[6],
                 fields[7], fields[8], fields[9], 0,         0};
  step->shortcut = Shortcut(fields[10]);
  step->rprelu = fields[11] & kFlagRprelu;
  step->float_out = fields[11] & kFlagFloatOut;
  step->bits_out = fields[11] & kFlagBitsOut;
  step->border = fields[12];
  step->activation = Activation(fields[13]);
  step->zero_padding = fields[11] & kFlagZeroPadding;
  return check_step(index, step, status);
}

void write_record(const Step& step, int32_t* fields) {
  const ConvShape& s = step.shape;
  const int32_t flags = step.rprelu * kFlagRprelu | step.float_out * kFlagFloatOut |
                        step.bits_out * kFlagBitsOut | step.zero_padding * kFlagZeroPadding;
  const int32_t values[kRecordInts] = {int32_t(step.kind),
                                       s.in_h,
                                       s.in_w,
                                       s.in_c,
                                       s.out_h,
                                       s.out_w,
                                       s.out_c,
                                       s.kernel,
                                       s.stride,
                                       s.groups,
                                       int32_t(step.shortcut),
                                       flags,
                                       step.border,
                                       int32_t(step.activation)};
  std::memcpy(fields, values, sizeof values);
}

}  // namespace bnn
