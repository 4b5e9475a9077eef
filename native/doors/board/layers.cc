#include <cstdio>
#include <vector>

#include "doors/board/commands.h"
#include "doors/board/json.h"
#include "doors/board/options.h"
#include "doors/board/subject.h"
#include "engine/bnn_file.h"
#include "engine/invent.h"

namespace bnn {
namespace {

struct Row {
  Subject subject;
  Calibration calibration{};
  std::vector<int64_t> samples_ns;
};

void print_row(const Row& row, const std::vector<int64_t>& sentinels_ns, bool cold) {
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
  json.begin_array("samples_ns");
  for (int64_t sample : row.samples_ns) json.item(sample);
  json.end_array();
  json.integer("warmup_ns", row.calibration.warmup_ns);
  json.boolean("checked", true);
  json.boolean("cold", cold);
  json.begin_array("sentinel_ns");
  for (int64_t sample : sentinels_ns) json.item(sample);
  json.end_array();
  json.end();
}

// Every round takes one sample of every step, in a freshly shuffled order, and one of the sentinel:
// a slow minute then shows in all rows a little, not in a few rows a lot.
void measure(std::vector<Row>* rows, const MeasureSettings& settings, uint64_t seed,
             CacheSweep* sweep) {
  std::vector<Row*> order;
  for (Row& row : *rows) {
    if (row.subject.ok()) order.push_back(&row);
  }
  for (Row* row : order) {
    row->calibration = calibrate(row->subject.work(), settings);
    if (sweep) row->calibration.iterations = 1;  // the second call would be warm
  }
  std::vector<int64_t> sentinels_ns;
  SplitMix64 random{seed};
  for (int round = 0; round < settings.samples; ++round) {
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
    sentinels_ns.push_back(sentinel_ns());
    for (Row* row : order) {
      const Work work = row->subject.work();
      work.call(work.context);  // its activations back into the caches
      if (sweep) sweep->sweep();
      row->samples_ns.push_back(time_calls(work, row->calibration.iterations));
      if (round + 1 == settings.samples) print_row(*row, sentinels_ns, sweep != nullptr);
    }
  }
}

}  // namespace

int run_layers(Arguments arguments) {
  const uint64_t seed = uint64_t(arguments.integer("--seed", 0, 0, INT64_MAX));
  const bool cold = arguments.flag("--cold"), warm = arguments.flag("--warm");
  MeasureOptions options;
  if (!options.parse("layers", "--plan", &arguments)) return kUsage;
  if (cold && warm) {
    std::fputs("bnn-board layers: --cold or --warm, not both\n", stderr);
    return kUsage;
  }
  Status status;
  KernelChoice choice{};
  if (!KernelChoice::parse(options.isa, &choice, &status)) return options.refuse(status);
  size_t size = 0;
  const Memory bytes = options.read(&size);
  if (!bytes) return kFailure;
  BnnFile file;
  if (!file.parse(bytes.get(), size, &status)) return options.refuse(status);
  if (options.core >= 0 && !pin_to_core(options.core)) return kFailure;

  const size_t swept = cold ? sweep_bytes() : 0;
  const Memory sweep_memory = allocate(swept);
  if (!sweep_memory) {
    std::fputs("bnn-board: no memory to sweep the caches with\n", stderr);
    return kFailure;
  }
  CacheSweep sweep(swept, sweep_memory.get());
  std::vector<Row> rows(file.steps());
  for (int i = 0; i < file.steps(); ++i) {
    Subject& subject = rows[i].subject;
    subject.make(i, file.step(i), choice, seed * 4096 + i, warm);
    if (subject.ok()) subject.check();
    if (!subject.ok()) print_row(rows[i], {}, cold);
  }
  measure(&rows, options.settings, seed, cold ? &sweep : nullptr);
  return kSuccess;
}

}  // namespace bnn
