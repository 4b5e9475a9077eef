#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "doors/board/commands.h"
#include "doors/board/file.h"
#include "doors/board/json.h"
#include "doors/board/options.h"
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

// A field of /proc/self/status in bytes: VmRSS is the resident memory of this process, VmHWM its
// peak. -1 where the system does not tell.
int64_t resident_bytes(const char* field) {
  FILE* file = std::fopen("/proc/self/status", "r");
  if (!file) return -1;
  char line[256], name[64];
  long long kib = -1, found = -1;
  while (found < 0 && std::fgets(line, sizeof line, file)) {
    if (std::sscanf(line, "%63[^:]: %lld kB", name, &kib) == 2 && std::strcmp(name, field) == 0) {
      found = kib;
    }
  }
  std::fclose(file);
  return found < 0 ? -1 : found * 1024;
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
  json.begin_array("segments");
  for (int i = 0; i < run.network->segments(); ++i) {
    json.item(int64_t(run.network->segment(i).begin));
  }
  json.end_array();
  json.integer("threads", run.network->threads());
  if (ThreadPool* pool = run.network->pool()) json.integer("section_ns", section_ns(pool));
  json.integer("resident_bytes", resident_bytes("VmRSS"));
  json.integer("peak_resident_bytes", resident_bytes("VmHWM"));
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
  const char* input = arguments.text("--input", nullptr);
  LoadOptions load;
  load.threads = int(arguments.integer("--threads", 1, 1, kMaxThreads));
  MeasureOptions options;
  if (!options.parse("net", "--model", &arguments)) return kUsage;
  load.kernel = options.isa;
  load.first_core = options.core;
  if (options.core >= 0 && !pin_to_core(options.core)) return kFailure;
  size_t size = 0;
  Memory bytes = options.read(&size);
  if (!bytes) return kFailure;
  Status status;
  const std::unique_ptr<Network> network = Network::load(bytes.get(), size, load, &status);
  bytes.reset();
  if (!network) return options.refuse(status);
  std::vector<float> image(network->image_values()), result(network->result_values());
  if (!load_image(input, image.size(), image.data())) return kFailure;

  Run run{network.get(), image.data(), result.data()};
  const Work work{&call, &run};
  const Calibration calibration = calibrate(work, options.settings);
  std::vector<int64_t> samples_ns, sentinels_ns;
  for (int i = 0; i < options.settings.samples; ++i) {
    sentinels_ns.push_back(sentinel_ns());
    samples_ns.push_back(time_calls(work, calibration.iterations));
  }
  print_run(run, calibration, samples_ns, sentinels_ns, input != nullptr);
  return kSuccess;
}

}  // namespace bnn
