// What limits the depthwise kernel: its own loop with its loads replaced. A vector holds two pixels
// of 256 channels, so the middle tap of a row begins in the middle of a cache line.
//
//   registers   no loads: the 27 instructions of a vector alone, as the core can run them
//   aligned     the same number of loads, each from the start of its cache line (wrong sums)
//   real        the kernel
//
// Each on whole images and on so few rows that they fit the first-level cache beside their output.
// One JSON line each; the last one is the clock, a chain of dependent additions between the
// samples.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "core/bconv2d/depthwise.h"
#include "core/bconv2d/x86_avx512_lanes.h"
#include "core/peak/peak.h"
#include "doors/board/json.h"
#include "doors/board/measure.h"
#include "engine/invent.h"
#include "engine/memory.h"

namespace bnn {
namespace {

struct Registers : Avx512Bits {
  struct Whole {
    const __m512i held = _mm512_set1_epi64(0x5a5a5a5a);

    template <bool kSpread>
    [[gnu::always_inline]] __m512i load(const uint64_t*) const {
      __m512i value = held;
      asm volatile("" : "+v"(value));  // a copy: a renamed register
      return value;
    }
  };
};

struct Aligned : Avx512Bits {
  struct Whole {
    template <bool kSpread>
    [[gnu::always_inline]] __m512i load(const uint64_t* p) const {
      return Avx512Bits::Whole().load<kSpread>(
          reinterpret_cast<const uint64_t*>(reinterpret_cast<uintptr_t>(p) & ~uintptr_t(63)));
    }
  };
};

struct Way {
  const char* name;
  Bconv2dKernel kernel;
};

template <class V>
Way way(const char* name) {
  return {name, Depthwise3x3<V>::kernel(name, "depthwise", Isa::kAvx512)};
}

// A layer's memory, and a call of one way on it.
class Layer {
 public:
  Layer(const Way& way, int size, int rows, int channels) : way_(way), channels_(channels) {
    shape_.in_h = shape_.out_h = rows;
    shape_.in_w = shape_.out_w = size;
    shape_.in_c = shape_.out_c = shape_.groups = channels;
    shape_.kernel = 3;
    shape_.stride = shape_.pad_top = shape_.pad_left = 1;
    const size_t row_words = size_t(shape_.padded_w()) * words_of(channels);
    const std::vector<uint64_t> weights(size_t(channels) * 9, 1);
    const std::vector<int32_t> thresholds(size_t(channels), 4);
    in_ = allocate_zeroed((rows + 2) * row_words * sizeof(uint64_t));
    out_ = allocate_zeroed(size_t(rows) * size * words_of(channels) * sizeof(uint64_t));
    prepared_ = allocate(way.kernel.prepared_bytes(shape_));
    if (!in_ || !out_ || !prepared_) std::exit(1);
    uint64_t* in = reinterpret_cast<uint64_t*>(in_.get());
    invent_bits(1, shape_, rows + 2, in);
    way.kernel.prepare(shape_, weights.data(), thresholds.data(), prepared_.get());
    for (int y = 0; y < rows + 2; ++y) taps_.push_back(in + y * row_words);
  }

  int64_t sample_ns(int64_t iterations) {
    return time_calls({[](void* layer) { static_cast<Layer*>(layer)->run(); }, this}, iterations);
  }
  // Vectors of one call.
  int64_t vectors() const { return int64_t(shape_.out_h) * shape_.out_w * channels_ / 512; }

 private:
  void run() {
    way_.kernel.run_threshold_rows(shape_, prepared_.get(),
                                   {taps_.data(), 1, reinterpret_cast<uint64_t*>(out_.get()),
                                    size_t(shape_.out_w) * words_of(channels_), shape_.out_h});
  }

  const Way& way_;
  int channels_;
  ConvShape shape_ = {};
  Memory in_, out_, prepared_;
  std::vector<const uint64_t*> taps_;
};

struct Contestant {
  const Way* way;
  int size, rows, channels;
  Layer layer;
  std::vector<int64_t> samples_ns;
};

void print(const char* key, const std::vector<int64_t>& samples_ns, JsonLine* json) {
  json->begin_array(key);
  for (int64_t sample : samples_ns) json->item(sample);
  json->end_array();
}

int measure(int samples) {
  constexpr int64_t kIterations = 40, kAddLoops = 1000;
  const Way ways[] = {way<Registers>("registers"), way<Aligned>("aligned"),
                      way<Avx512Bits>("real")};
  const struct {
    int size, rows, channels;
  } shapes[] = {{28, 28, 256}, {28, 7, 256}, {14, 14, 512}, {14, 7, 512}};
  std::vector<Contestant> all;
  all.reserve(sizeof shapes / sizeof *shapes * 3);
  for (const auto& s : shapes) {
    for (const Way& way : ways) {
      all.push_back({&way, s.size, s.rows, s.channels, Layer(way, s.size, s.rows, s.channels), {}});
    }
  }
  std::vector<int64_t> clock_ns;
  for (int i = 0; i < samples; ++i) {
    for (size_t j = 0; j < all.size(); ++j) {
      Contestant& contestant = all[(j + size_t(i)) % all.size()];
      contestant.layer.sample_ns(2);  // its tensors into the caches
      contestant.samples_ns.push_back(contestant.layer.sample_ns(kIterations));
    }
    const int64_t start = now_ns();
    run_dependent_adds(kAddLoops);
    clock_ns.push_back(now_ns() - start);
  }
  for (const Contestant& contestant : all) {
    JsonLine json(stdout);
    json.text("way", contestant.way->name);
    json.integer("size", contestant.size);
    json.integer("rows", contestant.rows);
    json.integer("channels", contestant.channels);
    json.integer("iterations", kIterations * contestant.layer.vectors());
    print("samples_ns", contestant.samples_ns, &json);
    json.end();
  }
  JsonLine json(stdout);
  json.integer("iterations", kAddLoops * kAddsPerIteration);
  print("samples_ns", clock_ns, &json);
  json.end();
  return 0;
}

}  // namespace
}  // namespace bnn

int main(int argc, char** argv) {
  using namespace bnn;
  if (argc != 3) {
    std::fprintf(stderr, "usage: depthwise_limit CORE SAMPLES\n");
    return 2;
  }
  if (!isa_supported(Isa::kAvx512)) {
    std::fprintf(stderr, "depthwise_limit: this CPU has no AVX-512 with VPOPCNTDQ\n");
    return 1;
  }
  return pin_to_core(std::atoi(argv[1])) ? measure(std::atoi(argv[2])) : 1;
}
