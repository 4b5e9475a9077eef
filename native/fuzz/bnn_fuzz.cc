// Any bytes as a .bnn network: refused with a message, or loaded and run, twice with one result.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "engine/invent.h"
#include "engine/network.h"
#include "fuzz/fuzz.h"

namespace bnn {
namespace {

void expect(bool good) {
  if (!good) std::abort();
}

std::vector<float> result_of(Network* network) {
  std::vector<float> image(network->image_values()), result(network->result_values());
  invent_values(1, image.size(), image.data());
  network->run(image.data(), result.data());
  return result;
}

void load_and_run(const char* file, size_t size) {
  const uint32_t number = number_of(file);
  LoadOptions options;
  options.kernel = kernel_by_number(number >> 8);
  options.threads = number % 32 == 0 ? 2 : 1;
  options.limits.constant_bytes >>= number / 32 % 16;  // few steps in a segment, or many
  Status status;
  const auto network = Network::load(file, size, options, &status);
  expect(network ? status.ok() : *status.message);
  if (!network) return;
  const std::vector<float> first = result_of(network.get()), second = result_of(network.get());
  expect(std::memcmp(first.data(), second.data(), first.size() * sizeof(float)) == 0);
}

}  // namespace
}  // namespace bnn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bnn;
  const Memory raw = exact_copy(data, size), repaired = exact_copy(data, size);
  Status status;
  BnnFile file;
  expect(file.parse(raw.get(), size, &status) || *status.message);
  if (!repair_header(repaired.get(), size)) return 0;
  status = Status();
  if (!file.parse(repaired.get(), size, &status)) {
    expect(*status.message);
  } else if (is_quick(file, number_of(repaired.get()))) {
    load_and_run(repaired.get(), size);
  }
  return 0;
}
