#include <cstdio>
#include <utility>
#include <vector>

#include "doors/board/block.h"
#include "doors/board/commands.h"
#include "doors/board/company.h"
#include "doors/board/cores.h"
#include "doors/board/options.h"
#include "doors/board/subject.h"
#include "engine/bnn_file.h"
#include "engine/invent.h"

namespace bnn {
namespace {

struct Row {
  Subject subject;
  Calibration calibration{};
  std::vector<int64_t> samples_ns, cold_samples_ns;
};

void print_samples(const char* key, const std::vector<int64_t>& samples_ns, JsonLine* json) {
  json->begin_array(key);
  for (int64_t sample : samples_ns) json->item(sample);
  json->end_array();
}

void print_row(const Row& row, const std::vector<int64_t>& sentinels_ns) {
  JsonLine json(stdout);
  json.integer("index", row.subject.index());
  if (!row.subject.ok()) {
    json.text("error", row.subject.error());
    json.end();
    return;
  }
  char kernel[96];
  row.subject.prepared().kernel_name(kernel, sizeof kernel);
  json.text("kernel", kernel);
  json.integer("iterations", row.calibration.iterations);
  print_samples("samples_ns", row.samples_ns, &json);
  if (!row.cold_samples_ns.empty()) print_samples("cold_samples_ns", row.cold_samples_ns, &json);
  json.integer("warmup_ns", row.calibration.warmup_ns);
  json.boolean("checked", true);
  print_samples("sentinel_ns", sentinels_ns, &json);
  json.end();
}

void shuffle(std::vector<Row*>* rows, SplitMix64* random) {
  for (size_t i = rows->size(); i > 1; --i) {
    std::swap((*rows)[i - 1], (*rows)[random->below(i)]);
  }
}

// Every round takes one sample of every step, in a freshly shuffled order, and one of the sentinel:
// a slow minute then shows in all rows a little, not in a few rows a lot. Without company a step is
// alone.
void sample_warm(const std::vector<Row*>& rows, int rounds, Company* company, SplitMix64* random,
                 std::vector<int64_t>* sentinels_ns) {
  std::vector<Row*> order = rows;
  for (int round = 0; round < rounds; ++round) {
    shuffle(&order, random);
    sentinels_ns->push_back(sentinel_ns());
    for (Row* row : order) {
      Subject& subject = row->subject;
      const int64_t iterations = row->calibration.iterations;
      subject.warm_up();
      row->samples_ns.push_back(company && subject.takes_turns()
                                    ? company->time_turns(&subject, iterations)
                                    : time_calls(subject.work(), iterations));
    }
  }
}

// One call a sample, for the second one would be warm.
void sample_cold(const std::vector<Row*>& rows, int rounds, SplitMix64* random, CacheSweep* sweep) {
  std::vector<Row*> order = rows;
  for (int round = 0; round < rounds; ++round) {
    shuffle(&order, random);
    for (Row* row : order) {
      sweep->sweep();
      row->cold_samples_ns.push_back(time_calls(row->subject.work(), 1));
    }
  }
}

}  // namespace

int run_layers(Arguments arguments) {
  const uint64_t seed = uint64_t(arguments.integer("--seed", 0, 0, INT64_MAX));
  const int cold_rounds = int(arguments.integer("--cold-samples", 0, 0, 100'000));
  const bool warm = arguments.flag("--warm");
  const Sysfs sysfs(arguments.text("--sysfs", kSysfs));
  MeasureOptions options;
  if (!options.parse("layers", "--plan", &arguments)) return kUsage;
  Status status;
  KernelChoice choice{};
  if (!KernelChoice::parse(options.isa, &choice, &status)) return options.refuse(status);
  size_t size = 0;
  const Memory bytes = options.read(&size);
  if (!bytes) return kFailure;
  BnnFile file;
  if (!file.parse(bytes.get(), size, &status)) return options.refuse(status);
  if (options.core >= 0 && !pin_to_core(options.core)) return kFailure;

  const size_t swept = cold_rounds ? sweep_bytes(largest_cache_bytes(sysfs)) : 0;
  const Memory sweep_memory = allocate(swept);
  if (!sweep_memory) {
    std::fputs("bnn-board: no memory to sweep the caches with\n", stderr);
    return kFailure;
  }
  Company company;
  if (!warm && !company.make(choice.isa)) {
    std::fputs("bnn-board: no memory for the steps between\n", stderr);
    return kFailure;
  }
  Block block(sysfs);
  CacheSweep sweep(swept, sweep_memory.get());
  std::vector<Row> rows(size_t(file.steps()));
  std::vector<Row*> good;
  for (int i = 0; i < file.steps(); ++i) {
    Subject& subject = rows[size_t(i)].subject;
    subject.make(i, file.step(i), choice, seed * 4096 + uint64_t(i), warm);
    if (subject.ok()) subject.check();
    if (subject.ok()) good.push_back(&rows[size_t(i)]);
  }
  for (Row* row : good) row->calibration = calibrate(row->subject.work(), options.settings);
  std::vector<int64_t> sentinels_ns;
  SplitMix64 random{seed};
  block.begin_sampling();
  sample_warm(good, options.settings.samples, warm ? nullptr : &company, &random, &sentinels_ns);
  sample_cold(good, cold_rounds, &random, &sweep);
  block.end_sampling();
  for (const Row& row : rows) print_row(row, sentinels_ns);
  block.finish(sentinels_ns);
  return kSuccess;
}

}  // namespace bnn
