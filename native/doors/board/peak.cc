// `bnn-board peak`: what this core reaches on registers alone, for each instruction set.
#include "core/peak/peak.h"

#include <cstdio>
#include <cstring>
#include <vector>

#include "doors/board/commands.h"
#include "doors/board/json.h"
#include "doors/board/measure.h"
#include "engine/memory.h"

namespace bnn {
namespace {

constexpr int64_t kBlock = 256;  // PeakLoops::copy moves this much at a time

// One of the loops: a call runs it long enough that the call itself does not count.
struct Loop {
  void (*run)(int64_t iterations);
  int64_t iterations;
};

struct Copy {
  const PeakLoops* loops;
  const char* from;
  char* to;
  size_t bytes;
};

Work work_of(Loop* loop) {
  return {[](void* self) {
            const Loop* loop = static_cast<const Loop*>(self);
            loop->run(loop->iterations);
          },
          loop};
}

Work work_of(Copy* copy) {
  return {[](void* self) {
            const Copy* copy = static_cast<const Copy*>(self);
            copy->loops->copy(copy->from, copy->to, copy->bytes);
          },
          copy};
}

// A series of samples and its keys in the JSON line.
struct Series {
  const char* iterations_key;
  const char* samples_key;
  Work work;
  int64_t iterations_per_call;
  Calibration calibration{};
  std::vector<int64_t> samples_ns{};
};

void print(const Series& series, JsonLine* json) {
  json->integer(series.iterations_key, series.calibration.iterations * series.iterations_per_call);
  json->begin_array(series.samples_key);
  for (int64_t sample : series.samples_ns) json->item(sample);
  json->end_array();
}

// The series take turns, so that a busy neighbour or a change of the clock hits all of them.
void measure(std::vector<Series>* all, const MeasureSettings& settings) {
  for (Series& series : *all) series.calibration = calibrate(series.work, settings);
  for (int i = 0; i < settings.samples; ++i) {
    for (Series& series : *all) {
      series.samples_ns.push_back(time_calls(series.work, series.calibration.iterations));
    }
  }
}

void run_isa(Isa isa, const MeasureSettings& settings, Copy* copy) {
  const PeakLoops* loops = peak_loops(isa);
  Loop macs{loops->run_macs, 1000}, floats{loops->run_float_macs, 1000};
  Loop adds{run_dependent_adds, 200};
  std::vector<Series> all = {
      {"iterations", "samples_ns", work_of(&macs), macs.iterations},
      {"float_iterations", "float_samples_ns", work_of(&floats), floats.iterations},
      {"cycle_iterations", "cycle_samples_ns", work_of(&adds), adds.iterations},
  };
  copy->loops = loops;
  if (copy->bytes) all.push_back({"copy_iterations", "copy_samples_ns", work_of(copy), 1});
  measure(&all, settings);

  JsonLine json(stdout);
  json.text("isa", isa_name(isa));
  json.text("recipe", loops->recipe);
  json.integer("macs_per_iteration", loops->macs_per_iteration);
  print(all[0], &json);
  json.integer("float_macs_per_iteration", loops->float_macs_per_iteration);
  print(all[1], &json);
  json.integer("cycles_per_iteration", kAddsPerIteration);
  print(all[2], &json);
  if (copy->bytes) {
    json.integer("copy_bytes", int64_t(copy->bytes));
    print(all[3], &json);
  }
  json.end();
}

}  // namespace

int run_peak(Arguments arguments) {
  const char* name = arguments.text("--isa", nullptr);
  const int core = int(arguments.integer("--core", -1, 0, 4095));
  const int64_t copied = arguments.integer("--copy", 0, 0, int64_t{1} << 30);
  const MeasureSettings settings{arguments.integer("--min-sample-ns", 200'000, 1, 10'000'000'000),
                                 arguments.integer("--warmup-ns", 5'000'000, 0, 60'000'000'000),
                                 int(arguments.integer("--samples", 30, 1, 100'000))};
  Isa only{};
  if (name && !isa_from_name(name, &only)) {
    std::fprintf(stderr, "bnn-board: unknown instruction set '%s'\n", name);
    return kUsage;
  }
  if (!arguments.good()) return kUsage;
  if (name && (!isa_supported(only) || !peak_loops(only))) {
    std::fprintf(stderr, "bnn-board: %s: %s\n", name,
                 isa_supported(only) ? "a reference, it has no peak" : "not on this CPU");
    return kFailure;
  }
  if (core >= 0 && !pin_to_core(core)) return kFailure;

  const size_t bytes = size_t((copied + kBlock - 1) / kBlock * kBlock);
  const Memory from = allocate(bytes), to = allocate(bytes);
  if (!from || !to) {
    std::fputs("bnn-board: no memory to copy\n", stderr);
    return kFailure;
  }
  std::memset(from.get(), 1, bytes);  // pages of its own, not the system's page of zeros
  std::memset(to.get(), 1, bytes);
  Copy copy{nullptr, from.get(), to.get(), bytes};
  for (Isa isa : kIsas) {
    if (isa_supported(isa) && peak_loops(isa) && (!name || isa == only)) {
      run_isa(isa, settings, &copy);
    }
  }
  return kSuccess;
}

}  // namespace bnn
