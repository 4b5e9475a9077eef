// stream_format [--core N] [--samples N]: a binary 1x1 convolution with a block's epilogue, the
// float stream in each format of stream_format.h, in turns. benchmarks/stream_formats.py runs it
// and says what the figures mean. Writes JSON lines:
//
//   {"layer", "place", "format", "iterations", "samples_ns"}    an iteration: 16 channels of a
//   pixel
//   {"iterations", "samples_ns"}                                last: one cycle of the clock
//
// Exit status 1: the CPU lacks AVX-512 with VPOPCNTDQ, a result is wrong, or memory is short.
#include "bench/stream_format.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bench/stream_data.h"
#include "core/peak/peak.h"
#include "doors/board/json.h"
#include "doors/board/measure.h"

namespace bnn {
namespace {

constexpr int64_t kSampleVectors = 200'000;  // of 16 channels: about 200 us
constexpr int64_t kClockLoops = 2'000;

struct Layer {
  const char* name;
  int size, channels;
};
constexpr Layer kLayers[] = {{"56x56, 128 channels", 56, 128},
                             {"28x28, 256 channels", 28, 256},
                             {"14x14, 512 channels", 14, 512}};

constexpr Place kPlaces[] = {
    {"ring", 1, 2, 0}, {"tensor", 0, 0, 0}, {"4 MiB", 0, 0, size_t(4) << 20}};

struct Contestant {
  const Layer* layer;
  const StreamFormat* format;
  StreamRun run;
  std::vector<int64_t> samples_ns;

  int64_t vectors() const { return int64_t(run.rows()) * layer->size * layer->channels / 16; }
  int64_t passes() const { return kSampleVectors / vectors() + 1; }
};

bool has_bf16() { return __builtin_cpu_supports("avx512bf16"); }

void sample(Contestant& contestant) {
  contestant.run.pass();  // brings the rows back into the cache
  const int64_t start = now_ns();
  for (int64_t i = 0; i < contestant.passes(); ++i) contestant.run.pass();
  contestant.samples_ns.push_back(now_ns() - start);
}

void write_samples(JsonLine& json, int64_t iterations, const std::vector<int64_t>& samples_ns) {
  json.integer("iterations", iterations);
  json.begin_array("samples_ns");
  for (int64_t sample_ns : samples_ns) json.item(sample_ns);
  json.end_array();
  json.end();
}

int measure(int samples) {
  int count = 0;
  const StreamFormat* const formats = stream_formats(&count);
  std::vector<Contestant> all;
  for (const Layer& layer : kLayers) {
    for (const Place& place : kPlaces) {
      for (int f = 0; f < count; ++f) {
        if (formats[f].needs_bf16 && !has_bf16()) continue;
        Contestant contestant{&layer, &formats[f], {}, {}};
        if (!contestant.run.make(layer.size, layer.channels, formats[f], place)) {
          std::fprintf(stderr, "stream_format: no memory\n");
          return 1;
        }
        const std::string wrong = contestant.run.check();
        if (!wrong.empty()) {
          std::fprintf(stderr, "stream_format: %s, %s: %s\n", layer.name, formats[f].name,
                       wrong.c_str());
          return 1;
        }
        all.push_back(std::move(contestant));
      }
    }
  }
  std::vector<int64_t> clock_ns;
  for (int i = 0; i < samples; ++i) {
    for (size_t j = 0; j < all.size(); ++j) sample(all[(j + size_t(i)) % all.size()]);
    const int64_t start = now_ns();
    run_dependent_adds(kClockLoops);
    clock_ns.push_back(now_ns() - start);
  }
  for (const Contestant& contestant : all) {
    JsonLine json(stdout);
    json.text("layer", contestant.layer->name);
    json.text("place", contestant.run.place().name);
    json.text("format", contestant.format->name);
    write_samples(json, contestant.passes() * contestant.vectors(), contestant.samples_ns);
  }
  JsonLine json(stdout);
  write_samples(json, kClockLoops * kAddsPerIteration, clock_ns);
  return 0;
}

int usage() {
  std::fprintf(stderr, "usage: stream_format [--core N] [--samples N]\n");
  return 2;
}

int run(int argc, char** argv) {
  int samples = 200;
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 == argc) return usage();
    const int value = std::atoi(argv[i + 1]);
    if (std::strcmp(argv[i], "--core") == 0) {
      if (!pin_to_core(value)) return 1;
    } else if (std::strcmp(argv[i], "--samples") == 0 && value > 0) {
      samples = value;
    } else {
      return usage();
    }
  }
  if (!isa_supported(Isa::kAvx512)) {
    std::fprintf(stderr, "stream_format: this CPU has no AVX-512 with VPOPCNTDQ\n");
    return 1;
  }
  return measure(samples);
}

}  // namespace
}  // namespace bnn

int main(int argc, char** argv) { return bnn::run(argc, argv); }
