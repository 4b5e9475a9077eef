#include "doors/board/outputs.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "doors/board/file.h"
#include "engine/tensors.h"

namespace bnn {
namespace {

bool no_memory() {
  std::fputs("bnn-board: no memory for the outputs\n", stderr);
  return false;
}

// Runs one step on whole tensors and, if it is binary, writes its sums.
bool trace_step(const PreparedStep& prepared, const StepInput& in, Tensors* out,
                OutputFile* sums_file) {
  const Step& step = prepared.step;
  OwnScratch scratch;
  if (!out->make_output(step) || !scratch.make(step, in)) return no_memory();
  run_step(prepared, in, out->rows(), scratch.get());
  if (step.kind != StepKind::kBconv2d) return true;
  const size_t bytes = step.out_elements() * sizeof(int32_t);
  const Memory sums = allocate(bytes);
  SumsStep sums_step;
  if (!sums || !sums_step.make(prepared) ||
      !sums_step.run(in, reinterpret_cast<int32_t*>(sums.get()))) {
    return no_memory();
  }
  return sums_file->write(sums.get(), bytes);
}

}  // namespace

bool write_outputs(Network* network, const float* images, size_t count, const char* path) {
  OutputFile file;
  const size_t bytes = network->result_values() * sizeof(float);
  const Memory result = allocate(bytes);
  if (!result) return no_memory();
  if (!file.open(path)) return false;
  for (size_t i = 0; i < count; ++i) {
    network->run(images + i * network->image_values(), reinterpret_cast<float*>(result.get()));
    if (!file.write(result.get(), bytes)) return false;
  }
  return file.close();
}

bool write_sums(const Network& network, const float* image, const char* path) {
  OutputFile file;
  Tensors before, out;
  const Step& first = network.step(0).step;
  if (!before.make_input(first, first.shape.in_h)) return no_memory();
  std::memcpy(before.rows().values.base, image, network.image_values() * sizeof(float));
  if (!file.open(path)) return false;
  for (int i = 0; i < network.steps(); ++i, before = std::move(out)) {
    if (!trace_step(network.step(i), before.as_input(), &out, &file)) return false;
  }
  return file.close();
}

}  // namespace bnn
