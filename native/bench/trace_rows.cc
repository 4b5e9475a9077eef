// trace_rows --plan FILE [--isa NAME]: runs each step of a plan once, between two marks, for a
// program that traces what is executed (benchmarks/traces.py). A convolution runs the row in the
// middle of the image; a pool and a linear step run whole.
//
// The marks are calls of the functions trace_begin and trace_end. Prints a JSON line for each
// step before it runs: its index, kernel and rows.
#include <cstdio>

#include "doors/board/arguments.h"
#include "doors/board/file.h"
#include "doors/board/json.h"
#include "engine/bnn_file.h"
#include "engine/invent.h"
#include "engine/rehearsal.h"

extern "C" {
[[gnu::noinline]] void trace_begin() { __asm__ volatile(""); }
[[gnu::noinline]] void trace_end() { __asm__ volatile(""); }
}

namespace bnn {
namespace {

constexpr uint64_t kSeed = 1;

bool run_marked(int index, const Step& step, const KernelChoice& choice, Status* status) {
  PreparedStep prepared;
  InventedConstants invented;
  Memory memory;
  Rehearsal rehearsal;
  if (!choose_kernel(index, step, choice, &prepared, status)) return false;
  if (!invented.make(step, kSeed) || !rehearsal.make(step, kSeed) ||
      !prepare_owned(invented.constants, &prepared, &memory)) {
    return status->fail(Code::kNoMemory, "step %d: no memory for it", index);
  }
  char kernel[96];
  prepared.kernel_name(kernel, sizeof kernel);
  const bool rows = step.by_rows();
  JsonLine json(stdout);
  json.integer("index", index);
  json.text("kernel", kernel);
  json.integer("rows", rows ? step.shape.out_h : 1);
  json.end();
  if (!rows) {
    trace_begin();
    rehearsal.run(prepared);
    trace_end();
    return true;
  }
  trace_begin();
  rehearsal.run_row(prepared, step.shape.out_h / 2);
  trace_end();
  return true;
}

int main(int count, char** words) {
  Arguments arguments(count, words);
  const char* plan = arguments.text("--plan", nullptr);
  const char* isa = arguments.text("--isa", nullptr);
  if (!arguments.good() || !plan) {
    std::fputs("usage: trace_rows --plan FILE [--isa NAME]\n", stderr);
    return kUsage;
  }
  Status status;
  KernelChoice choice{};
  BnnFile file;
  size_t size = 0;
  const Memory bytes = read_file(plan, &size);
  if (!bytes) return kFailure;
  bool good = KernelChoice::parse(isa, &choice, &status) && file.parse(bytes.get(), size, &status);
  for (int i = 0; good && i < file.steps(); ++i)
    good = run_marked(i, file.step(i), choice, &status);
  if (!good) std::fprintf(stderr, "trace_rows: %s\n", status.message);
  return good ? kSuccess : kFailure;
}

}  // namespace
}  // namespace bnn

int main(int count, char** words) { return bnn::main(count - 1, words + 1); }
