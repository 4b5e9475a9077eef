#include "doors/board/options.h"

#include <cstdio>

#include "doors/board/file.h"

namespace bnn {

bool MeasureOptions::parse(const char* command, const char* file_option, Arguments* arguments) {
  file = arguments->text(file_option, nullptr);
  isa = arguments->text("--isa", nullptr);
  core = int(arguments->integer("--core", -1, 0, 4095));
  settings = {arguments->integer("--min-sample-ns", 2'000'000, 1, 10'000'000'000),
              arguments->integer("--warmup-ns", 20'000'000, 0, 60'000'000'000),
              int(arguments->integer("--samples", 30, 1, 100'000))};
  if (!arguments->good()) return false;
  if (!file) std::fprintf(stderr, "bnn-board %s: %s FILE is missing\n", command, file_option);
  return file;
}

Memory MeasureOptions::read(size_t* size) const { return read_file(file, size); }

int MeasureOptions::refuse(const Status& status) const {
  const bool name = status.code == Code::kUnknownKernel;
  if (name) {
    std::fprintf(stderr, "bnn-board: %s\n", status.message);
  } else {
    std::fprintf(stderr, "bnn-board: %s: %s\n", file, status.message);
  }
  return name ? kUsage : kFailure;
}

}  // namespace bnn
