#include <cstdio>
#include <cstring>
#include <vector>

#include "doors/board/commands.h"
#include "doors/board/file.h"
#include "doors/board/json.h"
#include "doors/board/measure.h"
#include "engine/invent.h"
#include "engine/network.h"

namespace bnn {
namespace {

struct Run {
  Network* network;
  const float* image;
  float* result;
};

void call(void* context) {
  const Run* run = static_cast<const Run*>(context);
  run->network->run(run->image, run->result);
}

void print_run(const Run& run, const Calibration& calibration,
               const std::vector<int64_t>& samples_ns, const std::vector<int64_t>& sentinels_ns,
               bool with_outputs) {
  JsonLine json(stdout);
  json.begin_array("kernels");
  for (int i = 0; i < run.network->steps(); ++i) {
    char kernel[96];
    run.network->step(i).kernel_name(kernel, sizeof kernel);
    json.item_text(kernel);
  }
  json.end_array();
  json.integer("arena_bytes", int64_t(run.network->arena_bytes()));
  json.integer("constant_bytes", int64_t(run.network->constant_bytes()));
  json.integer("iterations", calibration.iterations);
  json.begin_array("samples_ns");
  for (int64_t sample : samples_ns) json.item(sample);
  json.end_array();
  json.integer("warmup_ns", calibration.warmup_ns);
  json.begin_array("sentinel_ns");
  for (int64_t sample : sentinels_ns) json.item(sample);
  json.end_array();
  if (with_outputs) {
    json.begin_array("outputs");
    for (size_t i = 0; i < run.network->result_values(); ++i) json.item(double(run.result[i]));
    json.end_array();
  }
  json.end();
}

// The image: raw float32 [H, W, C] from a file, or invented.
bool load_image(const char* path, size_t count, float* image) {
  if (!path) {
    invent_values(1, count, image);
    return true;
  }
  size_t size = 0;
  const Memory bytes = read_file(path, &size);
  if (!bytes) return false;
  if (size != count * sizeof(float)) {
    std::fprintf(stderr, "bnn-board: %s: expected %zu float32 values, got %zu bytes\n", path, count,
                 size);
    return false;
  }
  std::memcpy(image, bytes.get(), size);
  return true;
}

}  // namespace

int run_net(Arguments arguments) {
  const char* model = arguments.text("--model", nullptr);
  const char* isa = arguments.text("--isa", nullptr);
  const char* input = arguments.text("--input", nullptr);
  const int core = int(arguments.integer("--core", -1, 0, 4095));
  const MeasureSettings settings{arguments.integer("--min-sample-ns", 2'000'000, 1, 10'000'000'000),
                                 arguments.integer("--warmup-ns", 20'000'000, 0, 60'000'000'000),
                                 int(arguments.integer("--samples", 30, 1, 100'000))};
  if (!arguments.good()) return kUsage;
  if (!model) {
    std::fputs("bnn-board net: --model FILE is missing\n", stderr);
    return kUsage;
  }
  size_t size = 0;
  Memory bytes = read_file(model, &size);
  if (!bytes) return kFailure;
  Status status;
  const std::unique_ptr<Network> network = Network::load(bytes.get(), size, isa, &status);
  bytes.reset();
  if (!network) {
    std::fprintf(stderr, "bnn-board: %s: %s\n", model, status.message);
    return status.code == Code::kUnknownKernel ? kUsage : kFailure;
  }
  std::vector<float> image(network->image_values()), result(network->result_values());
  if (!load_image(input, image.size(), image.data()) || (core >= 0 && !pin_to_core(core)))
    return kFailure;

  Run run{network.get(), image.data(), result.data()};
  const Work work{&call, &run};
  const Calibration calibration = calibrate(work, settings);
  std::vector<int64_t> samples_ns, sentinels_ns;
  for (int i = 0; i < settings.samples; ++i) {
    sentinels_ns.push_back(sentinel_ns());
    samples_ns.push_back(time_calls(work, calibration.iterations));
  }
  print_run(run, calibration, samples_ns, sentinels_ns, input != nullptr);
  return kSuccess;
}

}  // namespace bnn
