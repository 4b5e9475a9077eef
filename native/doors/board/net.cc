#include <algorithm>
#include <cstdio>
#include <vector>

#include "doors/board/commands.h"
#include "doors/board/file.h"
#include "doors/board/json.h"
#include "doors/board/options.h"
#include "doors/board/outputs.h"
#include "doors/board/sysfs.h"
#include "engine/clock.h"
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

// The fastest of many empty sections of the pool: what a segment pays for its threads.
int64_t section_ns(ThreadPool* pool) {
  constexpr int kSections = 1000;
  const Work work{[](void* of) { static_cast<ThreadPool*>(of)->run([](void*, int) {}, nullptr); },
                  pool};
  int64_t best_ns = INT64_MAX;
  for (int i = 0; i < kSections; ++i) best_ns = std::min(best_ns, time_calls(work, 1));
  return best_ns;
}

void print_network(Network* network, JsonLine* json) {
  json->begin_array("kernels");
  for (int i = 0; i < network->steps(); ++i) {
    char kernel[96];
    network->step(i).kernel_name(kernel, sizeof kernel);
    json->item_text(kernel);
  }
  json->end_array();
  json->begin_array("segments");
  for (int i = 0; i < network->segments(); ++i) json->item(int64_t(network->segment(i).begin));
  json->end_array();
  json->integer("threads", network->threads());
  if (ThreadPool* pool = network->pool()) json->integer("section_ns", section_ns(pool));
  json->integer("resident_bytes", read_kib_field("/proc/self/status", "VmRSS"));
  json->integer("peak_resident_bytes", read_kib_field("/proc/self/status", "VmHWM"));
  json->integer("arena_bytes", int64_t(network->arena_bytes()));
  json->integer("constant_bytes", int64_t(network->constant_bytes()));
}

// As many runs again, with a look at the clock around each turn of a step; a line for each step and
// one for all. False, with a message, when there is no memory.
bool profile(const Work& work, int64_t runs, Network* network) {
  if (!network->count_time()) {
    std::fputs("bnn-board: no memory to count each step's time\n", stderr);
    return false;
  }
  const int64_t start_ns = clock_ns();
  for (int64_t i = 0; i < runs; ++i) work.call(work.context);
  const int64_t total_ns = (clock_ns() - start_ns) * network->threads();
  int64_t remainder_ns = total_ns;
  for (int i = 0; i < network->steps(); ++i) {
    char kernel[96];
    network->step(i).kernel_name(kernel, sizeof kernel);
    remainder_ns -= network->step_ns(i);
    JsonLine json(stdout);
    json.integer("step", int64_t(i));
    json.text("kernel", kernel);
    json.integer("total_ns", network->step_ns(i));
    json.end();
  }
  JsonLine json(stdout);
  json.integer("runs", runs);
  json.integer("threads", int64_t(network->threads()));
  json.integer("total_ns", total_ns);
  json.integer("remainder_ns", remainder_ns);
  json.end();
  return true;
}

// Samples of the latency; with `outputs` also what the network computed, with `steps` the time of
// each step in further runs. False, with a message, when it fails.
bool time_network(const MeasureSettings& settings, const float* image, bool outputs, bool steps,
                  Network* network) {
  std::vector<float> result(network->result_values());
  Run run{network, image, result.data()};
  const Work work{&call, &run};
  const Calibration calibration = calibrate(work, settings);
  std::vector<int64_t> samples_ns, sentinels_ns;
  for (int i = 0; i < settings.samples; ++i) {
    sentinels_ns.push_back(sentinel_ns());
    samples_ns.push_back(time_calls(work, calibration.iterations));
  }
  JsonLine json(stdout);
  print_network(network, &json);
  json.integer("iterations", calibration.iterations);
  json.begin_array("samples_ns");
  for (int64_t sample : samples_ns) json.item(sample);
  json.end_array();
  json.integer("warmup_ns", calibration.warmup_ns);
  json.begin_array("sentinel_ns");
  for (int64_t sample : sentinels_ns) json.item(sample);
  json.end_array();
  if (outputs) {
    json.begin_array("outputs");
    for (float value : result) json.item(double(value));
    json.end_array();
  }
  json.end();
  return !steps || profile(work, calibration.iterations * settings.samples, network);
}

// Raw float32 [count, H, W, C] from a file, at most `most`; null, with a message, when it holds
// something else.
Memory load_images(const char* path, size_t image_values, size_t most, size_t* count) {
  size_t size = 0;
  const size_t image_bytes = image_values * sizeof(float);
  Memory images = read_file(path, &size);
  *count = size / image_bytes;
  if (!images || (*count > 0 && *count <= most && size % image_bytes == 0)) return images;
  std::fprintf(stderr, "bnn-board: %s: expected %s of %zu float32 values, got %zu bytes\n", path,
               most > 1 ? "images" : "one image", image_values, size);
  return nullptr;
}

}  // namespace

int run_net(Arguments arguments) {
  const char* input = arguments.text("--input", nullptr);
  const char* output = arguments.text("--output", nullptr);
  const char* sums = arguments.text("--sums", nullptr);
  const bool steps = arguments.flag("--profile");
  LoadOptions load;
  load.threads = int(arguments.integer("--threads", 1, 1, kMaxThreads));
  MeasureOptions options;
  if (!options.parse("net", "--model", &arguments)) return kUsage;
  if ((output || sums) && !input) {
    std::fputs("bnn-board net: --output and --sums need --input FILE\n", stderr);
    return kUsage;
  }
  if ((output || sums) && steps) {
    std::fputs("bnn-board net: --profile times, --output and --sums do not\n", stderr);
    return kUsage;
  }
  load.kernel = options.isa;
  load.first_core = options.core;
  if (options.core >= 0 && !pin_to_core(options.core)) return kFailure;
  size_t size = 0, count = 1;
  Memory bytes = options.read(&size);
  if (!bytes) return kFailure;
  Status status;
  const std::unique_ptr<Network> network = Network::load(bytes.get(), size, load, &status);
  bytes.reset();
  if (!network) return options.refuse(status);
  const bool timing = !output && !sums;
  const Memory images =
      input ? load_images(input, network->image_values(), timing ? 1 : SIZE_MAX, &count)
            : allocate(network->image_values() * sizeof(float));
  if (!images) return kFailure;
  float* image = reinterpret_cast<float*>(images.get());
  if (!input) invent_values(1, network->image_values(), image);

  if (timing) {
    return time_network(options.settings, image, input, steps, network.get()) ? kSuccess : kFailure;
  }
  if (output && !write_outputs(network.get(), image, count, output)) return kFailure;
  if (sums && !write_sums(*network, image, sums)) return kFailure;
  JsonLine json(stdout);
  print_network(network.get(), &json);
  json.integer("images", int64_t(count));
  json.end();
  return kSuccess;
}

}  // namespace bnn
