// bnn_deploy::BinaryConv2d, one binary convolution between floats (bnn_deploy/export/
// onnx_function.py has its meaning): thresholds to bits, exact integers out, as floats.
#include <initializer_list>
#include <memory>
#include <new>

#include "doors/lock.h"
#include "doors/onnxruntime/layout.h"
#include "doors/onnxruntime/op.h"
#include "engine/tensors.h"
#include "engine/tune.h"

namespace bnn::ort {
namespace {

constexpr int64_t kMost = 1 << 16;  // of any size

// An attribute of exactly `count` integers.
OrtStatus* get_exactly(const OrtKernelInfo* info, const char* name, int64_t* values, size_t count) {
  size_t found = 0;
  BNN_ORT_TRY(get_ints(info, name, nullptr, &found));
  if (found != count) {
    return fail("BinaryConv2d: %s must hold %zu integers, not %zu", name, count, found);
  }
  return get_ints(info, name, values, &found);
}

// The engine's step for inputs of one size.
class Prepared {
 public:
  // choice: filled the first time, with the kernel whose tile was fastest.
  OrtStatus* make(const Step& step, const uint64_t* weights, KernelChoice* choice);
  const Step& step() const { return prepared_.step; }
  uint64_t* bits_row(int y) {
    return in_.rows().bits.row(y) + size_t(step().shape.border()) * words_of(step().shape.in_c);
  }
  const float* run_row(int y) {
    run_step_row(prepared_, in_.as_input(), out_.rows(), y, scratch_.get());
    return out_.rows().values.row(y);
  }

 private:
  PreparedStep prepared_ = {};
  Memory constants_;
  Tensors in_, out_;
  OwnScratch scratch_;
};

OrtStatus* Prepared::make(const Step& step, const uint64_t* weights, KernelChoice* choice) {
  Status status;
  if (!choice->kernel && !KernelChoice::parse(nullptr, choice, &status)) return as_ort(status);
  if (!choose_kernel(0, step, *choice, &prepared_, &status)) return as_ort(status);
  if (!choice->kernel) tune(&prepared_, 1);
  choice->kernel = prepared_.kernel;
  const size_t channels = size_t(step.shape.out_c);
  std::unique_ptr<float[]> scale(new (std::nothrow) float[2 * channels]());
  for (size_t o = 0; scale && o < channels; ++o) scale[o] = 1.0f;
  Constants constants{};
  constants.slot[kWeights] = weights;
  constants.slot[kScale] = scale.get();
  constants.slot[kBias] = scale.get() + channels;
  if (scale && prepare_owned(constants, &prepared_, &constants_) &&
      in_.make_input(step, step.shape.in_h) && out_.make_output(step) &&
      scratch_.make(step, in_.as_input())) {
    return nullptr;
  }
  return no_memory("BinaryConv2d");
}

class BinaryConv2dNode {
 public:
  static constexpr const char* kName = "BinaryConv2d";
  static constexpr size_t kInputs = 3;
  static constexpr OrtElementType kInputTypes[] = {kFloat, kFloat, kUint8};

  OrtStatus* make(const OrtKernelInfo* info);
  OrtStatus* compute(OrtKernelContext* context);

 private:
  OrtStatus* read_shape(const OrtKernelInfo* info);
  OrtStatus* prepare(int64_t height, int64_t width);
  OrtStatus* check_pads(const ConvShape& shape) const;
  OrtStatus* run(OrtKernelContext* context, const float* image, float* dots);

  Lock one_at_a_time_;
  ConvShape shape_ = {};  // but for heights and widths
  int64_t pads_[4] = {};  // top, left, bottom, right
  Memory threshold_;      // [in_c]
  Memory weights_;        // canonical
  KernelChoice choice_ = {};
  std::unique_ptr<Prepared> prepared_;
};

OrtStatus* BinaryConv2dNode::read_shape(const OrtKernelInfo* info) {
  int64_t weights[4], kernel[2], strides[2], group = 0;  // weights: [O, C/group, kh, kw]
  BNN_ORT_TRY(get_exactly(info, "weight_shape", weights, 4));
  BNN_ORT_TRY(get_exactly(info, "kernel_shape", kernel, 2));
  BNN_ORT_TRY(get_exactly(info, "strides", strides, 2));
  BNN_ORT_TRY(get_exactly(info, "pads", pads_, 4));
  BNN_ORT_TRY(get_int(info, "group", &group));
  for (int64_t size : {weights[0], weights[1], weights[2], weights[3], group, strides[0]}) {
    if (size < 1 || size > kMost) {
      return fail("BinaryConv2d: sizes must be 1 to %lld, not %lld", static_cast<long long>(kMost),
                  static_cast<long long>(size));
    }
  }
  if (weights[2] != weights[3] || kernel[0] != weights[2] || kernel[1] != weights[3] ||
      strides[0] != strides[1]) {
    return fail("BinaryConv2d: the kernels are for square windows with one stride");
  }
  if (weights[2] % 2 == 0 || weights[2] > kMaxKernel || strides[0] > kMaxStride) {
    return fail("BinaryConv2d: windows must be odd, up to %d, and strides 1 or 2", kMaxKernel);
  }
  if (weights[1] * group > kMost || weights[0] % group) {
    return fail("BinaryConv2d: %lld groups do not fit weight_shape", static_cast<long long>(group));
  }
  shape_.in_c = int32_t(weights[1] * group);
  shape_.out_c = int32_t(weights[0]);
  shape_.kernel = int32_t(weights[2]);
  shape_.stride = int32_t(strides[0]);
  shape_.groups = int32_t(group);
  return nullptr;
}

OrtStatus* BinaryConv2dNode::make(const OrtKernelInfo* info) {
  BNN_ORT_TRY(read_shape(info));
  const int in = shape_.in_c_per_group();
  const size_t taps = size_t(shape_.kernel) * shape_.kernel;
  Tensor threshold{}, bits{};
  BNN_ORT_TRY(constant_input(info, 1, &threshold));
  BNN_ORT_TRY(constant_input(info, 2, &bits));
  if (threshold.type != kFloat || threshold.elements != size_t(shape_.in_c)) {
    return fail("BinaryConv2d: threshold must hold %d floats", shape_.in_c);
  }
  if (bits.type != kUint8 || bits.elements != (shape_.out_c * taps * in + 7) / 8) {
    return fail("BinaryConv2d: weights must hold a bit for each of weight_shape");
  }
  threshold_ = allocate(shape_.in_c * sizeof(float));
  weights_ = allocate_zeroed(shape_.out_c * taps * words_of(in) * sizeof(uint64_t));
  if (!threshold_ || !weights_) return no_memory("BinaryConv2d");
  std::memcpy(threshold_.get(), threshold.data, shape_.in_c * sizeof(float));
  unpack_weights(static_cast<const uint8_t*>(bits.data), shape_.out_c, in, shape_.kernel,
                 reinterpret_cast<uint64_t*>(weights_.get()));
  return nullptr;
}

// The kernels pad by TensorFlow's SAME rule.
OrtStatus* BinaryConv2dNode::check_pads(const ConvShape& s) const {
  const auto after = [&](int in, int out, int before) {
    const int reach = (out - 1) * s.stride + s.kernel - in - before;
    return reach > 0 ? reach : 0;
  };
  const int same[] = {s.pad_top, s.pad_left, after(s.in_h, s.out_h, s.pad_top),
                      after(s.in_w, s.out_w, s.pad_left)};
  for (int i = 0; i < 4; ++i) {
    if (pads_[i] != same[i]) {
      return fail("BinaryConv2d: for %dx%d images pads must be %d, %d, %d, %d", s.in_h, s.in_w,
                  same[0], same[1], same[2], same[3]);
    }
  }
  return nullptr;
}

OrtStatus* BinaryConv2dNode::prepare(int64_t height, int64_t width) {
  if (prepared_ && prepared_->step().shape.in_h == height &&
      prepared_->step().shape.in_w == width) {
    return nullptr;
  }
  if (height < 1 || height > kMost || width < 1 || width > kMost) {
    return fail("BinaryConv2d: images of %lldx%lld are no images", static_cast<long long>(height),
                static_cast<long long>(width));
  }
  Step step{};
  step.kind = StepKind::kBconv2d;
  step.float_out = true;
  step.shape = shape_;
  step.shape.in_h = int32_t(height);
  step.shape.in_w = int32_t(width);
  step.shape.out_h = (step.shape.in_h + shape_.stride - 1) / shape_.stride;
  step.shape.out_w = (step.shape.in_w + shape_.stride - 1) / shape_.stride;
  Status status;
  if (!check_step(0, &step, &status)) return as_ort(status);
  BNN_ORT_TRY(check_pads(step.shape));
  std::unique_ptr<Prepared> prepared(new (std::nothrow) Prepared);
  if (!prepared) return no_memory("BinaryConv2d");
  BNN_ORT_TRY(prepared->make(step, reinterpret_cast<const uint64_t*>(weights_.get()), &choice_));
  prepared_ = std::move(prepared);
  return nullptr;
}

OrtStatus* BinaryConv2dNode::compute(OrtKernelContext* context) {
  const Locked locked(&one_at_a_time_);
  Tensor images{};
  BNN_ORT_TRY(input(context, 0, &images));
  if (images.rank != 4 || images.dims[1] != shape_.in_c) {
    return fail("BinaryConv2d: images must be [N, %d, H, W]", shape_.in_c);
  }
  BNN_ORT_TRY(prepare(images.dims[2], images.dims[3]));
  const ConvShape& s = prepared_->step().shape;
  const int64_t dims[] = {images.dims[0], s.out_c, s.out_h, s.out_w};
  float* dots = nullptr;
  BNN_ORT_TRY(output(context, 0, dims, 4, &dots));
  const float* image = static_cast<const float*>(images.data);
  for (int64_t n = 0; n < dims[0]; ++n) {
    BNN_ORT_TRY(run(context, image, dots));
    image += prepared_->step().shape.in_c * size_t(s.in_h) * s.in_w;
    dots += prepared_->step().out_elements();
  }
  return nullptr;
}

// One image; a row is a task of the runtime's threads.
OrtStatus* BinaryConv2dNode::run(OrtKernelContext* context, const float* image, float* dots) {
  struct Job {
    Prepared* prepared;
    const float *image, *threshold;
    float* dots;
  } job = {prepared_.get(), image, reinterpret_cast<const float*>(threshold_.get()), dots};
  const ConvShape& s = prepared_->step().shape;
  BNN_ORT_TRY(parallel_for(
      context,
      [](void* data, size_t y) {
        const Job* job = static_cast<const Job*>(data);
        const ConvShape& s = job->prepared->step().shape;
        pack_row(job->image, s.in_c, s.in_h, s.in_w, int(y), job->threshold,
                 job->prepared->bits_row(int(y)));
      },
      size_t(s.in_h), &job));
  return parallel_for(
      context,
      [](void* data, size_t y) {
        const Job* job = static_cast<const Job*>(data);
        const ConvShape& s = job->prepared->step().shape;
        store_row(job->prepared->run_row(int(y)), s.out_c, s.out_h, s.out_w, int(y), job->dots);
      },
      size_t(s.out_h), &job);
}

}  // namespace

const OrtCustomOp kBinaryConv2dOp = describe_op<BinaryConv2dNode>();

}  // namespace bnn::ort
