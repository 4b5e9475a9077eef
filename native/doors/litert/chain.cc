#include "doors/litert/chain.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>

#include "doors/litert/bits32.h"
#include "engine/bnn_image.h"

namespace bnn::litert {
namespace {

// The steps of a chain, with what follows from their neighbours: the file says what is computed,
// and the engine's own planner has no part in it.
class ChainSteps {
 public:
  ChainSteps(const Graph& graph, const StepMatch* const* matches, int count)
      : graph_(graph), matches_(matches), matched_(count) {}

  bool plan(Status* status);
  void fill(BnnImage* image) const;
  const Step* steps() const { return steps_.get(); }
  int count() const { return matched_ + packs_; }

 private:
  void fill_convolution(const StepMatch& match, const Step& step, int index, BnnImage* image) const;
  void fill_binary(const StepMatch& match, const Step& step, int index, BnnImage* image) const;
  void fill_bend(const StepMatch& match, const Step& step, int index, BnnImage* image) const;
  void fill_threshold(const Step& step, const StepMatch& next, int index, BnnImage* image) const;
  const Tensor& input(const StepMatch& match, int i) const {
    return graph_.tensor(match.anchor->input(i));
  }

  const Graph& graph_;
  const StepMatch* const* matches_;
  const int matched_;
  int packs_ = 0;  // steps in front of the matched ones
  std::unique_ptr<Step[]> steps_;
};

bool ChainSteps::plan(Status* status) {
  packs_ = matches_[0]->step.reads_bits() ? 1 : 0;
  steps_.reset(new (std::nothrow) Step[size_t(count())]());
  if (!steps_) return status->fail(Code::kNoMemory, "no memory for %d steps", count());
  if (packs_) {
    const ConvShape& first = matches_[0]->step.shape;
    Step& pack = steps_[0];
    pack.kind = StepKind::kPack;
    pack.shape = {first.in_h, first.in_w, first.in_c, first.in_h, first.in_w, first.in_c,
                  1,          1,          1,          0,          0};
  }
  for (int i = 0; i < matched_; ++i) steps_[packs_ + i] = matches_[i]->step;
  for (int i = 0; i < count(); ++i) {
    Step& step = steps_[i];
    const Step* next = i + 1 < count() ? &steps_[i + 1] : nullptr;
    const bool packed = next && i >= packs_ && matches_[i - packs_ + 1]->bits_in;
    step.bits_out = next && next->reads_bits();
    step.border = step.bits_out ? next->shape.border() : 0;
    step.float_out = !next || next->reads_values();
    // An integer threshold is what the file has for bitpacked outputs alone.
    if (step.integer_threshold() && !packed) step.float_out = true;
  }
  return true;
}

// Channels that padding added are taken off. They are +1, so a filter's sum loses as many differing
// bits as it has weights of -1 there, and its dot product loses the sum of them.
void ChainSteps::fill_binary(const StepMatch& match, const Step& step, int index,
                             BnnImage* image) const {
  const ConvShape& s = step.shape;
  const int taps = s.kernel * s.kernel, channels = s.in_c_per_group();
  const int file_channels = match.anchor->channels_in / match.anchor->groups;
  const int words = words_of(channels), file_words = words32_of(file_channels);
  auto* weights = static_cast<uint64_t*>(image->constant(index, kWeights));
  const auto* filter = reinterpret_cast<const uint32_t*>(input(match, 1).ints());
  for (int o = 0; o < s.out_c; ++o) {
    int added = 0, negative = 0;
    for (int tap = 0; tap < taps; ++tap, filter += file_words, weights += words) {
      copy_bits(filter, 0, channels, reinterpret_cast<uint32_t*>(weights));
      for (int c = channels; c < file_channels; ++c, ++added)
        negative += filter[c / 32] >> (c % 32) & 1;
    }
    if (step.integer_threshold()) {
      const int64_t threshold = int64_t(input(match, 4).ints()[o]) - negative;
      static_cast<int32_t*>(image->constant(index, kThreshold))[o] =
          int32_t(std::max<int64_t>(threshold, INT32_MIN));
    } else {
      const float scale = input(match, 2).floats()[o];
      static_cast<float*>(image->constant(index, kScale))[o] = scale;
      float* bias = static_cast<float*>(image->constant(index, kBias)) + o;
      *bias = input(match, 3).floats()[o];
      const int surplus = added - 2 * negative;
      if (surplus != 0) *bias += scale * float(surplus);  // an infinite scale times 0 were NaN
    }
  }
}

// The canonical layouts of the real-valued layers are those of the files.
void ChainSteps::fill_convolution(const StepMatch& match, const Step& step, int index,
                                  BnnImage* image) const {
  std::memcpy(image->constant(index, kWeights), input(match, 1).data,
              constant_bytes(step, kWeights));
  const int bias = match.anchor->input(2);
  if (bias == kOptionalTensor) return;  // zeros
  std::memcpy(image->constant(index, kBias), graph_.tensor(bias).data, constant_bytes(step, kBias));
}

void ChainSteps::fill_bend(const StepMatch& match, const Step& step, int index,
                           BnnImage* image) const {
  if (!step.rprelu) return;
  float* gamma = static_cast<float*>(image->constant(index, kGamma));
  float* beta = static_cast<float*>(image->constant(index, kBeta));
  float* zeta = static_cast<float*>(image->constant(index, kZeta));
  for (int o = 0; o < step.shape.out_c; ++o) {
    gamma[o] = -match.moved.at(o);
    beta[o] = match.slope.at(o);
    zeta[o] = match.after.at(o);
  }
}

// (x + before < 0) is (x < -before), to the bit.
void ChainSteps::fill_threshold(const Step& step, const StepMatch& next, int index,
                                BnnImage* image) const {
  if (!step.bits_out || step.integer_threshold()) return;
  float* threshold = static_cast<float*>(image->constant(index, kThreshold));
  for (int o = 0; o < step.shape.out_c; ++o) threshold[o] = -next.before.at(o);
}

void ChainSteps::fill(BnnImage* image) const {
  for (int i = 0; i < count(); ++i) {
    const int matched = i - packs_;
    if (matched >= 0) {
      const StepMatch& match = *matches_[matched];
      if (steps_[i].kind == StepKind::kBconv2d) {
        fill_binary(match, steps_[i], i, image);
      } else if (steps_[i].kind != StepKind::kGlobalAvgpool) {
        fill_convolution(match, steps_[i], i, image);
      }
      fill_bend(match, steps_[i], i, image);
    }
    if (matched + 1 < matched_) fill_threshold(steps_[i], *matches_[matched + 1], i, image);
  }
  image->seal();
}

}  // namespace

bool Chain::make(const Graph& graph, const StepMatch* const* steps, int count,
                 const LoadOptions& options, Status* status) {
  ChainSteps chain(graph, steps, count);
  BnnImage image;
  if (!chain.plan(status) || !image.make(chain.steps(), chain.count(), status)) return false;
  chain.fill(&image);
  network_ = Network::load(image.data(), image.size(), options, status);
  return network_ != nullptr;
}

void Chain::report(Profile* profile) const {
  for (int i = 0; i < network_->steps(); ++i) {
    const PreparedStep& prepared = network_->step(i);
    const ConvShape& s = prepared.step.shape;
    char name[96], kernel[96];
    std::snprintf(name, sizeof name, "%s %dx%dx%d-%dx%dx%d", step_kind_name(prepared.step.kind),
                  s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, s.out_c);
    prepared.kernel_name(kernel, sizeof kernel);
    profile->add(name, kernel, network_->step_ns(i));
  }
}

void Chain::run(const float* in, float* out, int batch, Crew* crew) {
  for (int n = 0; n < batch; ++n) {
    network_->run(in + size_t(n) * network_->image_values(),
                  out + size_t(n) * network_->result_values(), crew);
  }
}

}  // namespace bnn::litert
