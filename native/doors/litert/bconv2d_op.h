// Any LceBconv2d on its own: every padding, stride, dilation, window, group and output. The windows
// of some pixels of an output row are gathered, tap after tap of each group, so that the
// convolution is a pointwise one, which the kernels do.
//
//   acc[o]  exact; a tap outside the image is +1, or with zero padding half a difference a channel
//   float   y = activation(K - 2 * acc) * multiplier + bias
//   int8    round(y / scale + zero_point), ties away from zero, saturated
//   bits    acc > threshold
//
// What the engine's steps can do is not done here but there (step_match.h).
#pragma once

#include "doors/litert/graph.h"
#include "engine/crew.h"
#include "engine/memory.h"
#include "engine/prepare.h"

namespace bnn::litert {

class Bconv2dOp {
 public:
  // A node of the graph, checked. The graph need not outlive this. False: no memory.
  bool make(const Graph& graph, const Node& node, const KernelChoice& choice, int threads,
            Status* status);

  const char* kernel_name() const { return pointwise_.kernel->name; }

  // in: int32 words [N, H, W, C]; out: as the node says. crew: of `threads` threads, or null.
  void run(const void* in, void* out, Crew* crew);

 private:
  struct Buffers {
    uint64_t* windows;  // [pixels_, words_of(in_c of pointwise_)]
    float* dots;        // [pixels_, out_c]
  };

  bool prepare_kernel(const Graph& graph, const Node& node, const KernelChoice& choice,
                      Status* status);
  bool prepare_output(const Graph& graph, const Node& node, Status* status);
  bool prepare_padding(const uint32_t* filter, Status* status);
  bool allocate_buffers(Status* status);
  Buffers buffers(int thread) const;

  void run_rows(int begin, int end, const Buffers& buffers) const;
  // Of the pixels x .. x + pixels_ - 1 of row y of image n.
  void gather(int n, int y, int x, uint64_t* windows) const;
  void take_padding_off(int y, int x, float* dots) const;
  void finish(const float* dots, void* out) const;

  Window window_;
  int batch_, in_h_, in_w_, in_words_, out_h_, out_w_, out_c_;
  int pixels_;                          // gathered at a time
  int groups_, per_group_, tap_words_;  // 32-bit words of a group in a tap
  int k_bits_, pad_top_, pad_left_;
  bool zero_padding_;
  TfLiteType output_type_;
  int threads_;

  PreparedStep pointwise_ = {};
  Memory constants_, vectors_, tap_sums_, buffers_;
  size_t buffer_bytes_ = 0, out_pixel_bytes_ = 0;
  float least_, most_;                                   // of 2 * acc
  const float *multiplier_ = nullptr, *bias_ = nullptr;  // [out_c]
  const int32_t* thresholds_ = nullptr;                  // [out_c]

  const uint32_t* in_ = nullptr;  // of the run
  char* out_ = nullptr;
};

}  // namespace bnn::litert
