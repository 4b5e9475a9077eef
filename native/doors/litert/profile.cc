#include "doors/litert/profile.h"

namespace bnn::litert {

Profile::~Profile() {
  if (!file_) return;
  std::fprintf(file_, "], \"runs\": %lld, \"threads\": %d}\n", static_cast<long long>(runs_),
               threads_);
  std::fclose(file_);
}

bool Profile::open(const char* path) {
  file_ = std::fopen(path, "w");
  if (file_) std::fputs("{\"schema\": 1, \"steps\": [", file_);
  return file_ != nullptr;
}

void Profile::add_runs(int64_t runs, int threads) {
  if (runs <= runs_) return;
  runs_ = runs;
  threads_ = threads;
}

void Profile::add(const char* name, const char* kernel, int64_t total_ns) {
  std::fprintf(file_, "%s{\"name\": \"%s\", \"kernel\": \"%s\", \"total_ns\": %lld}",
               first_ ? "" : ", ", name, kernel, static_cast<long long>(total_ns));
  first_ = false;
}

}  // namespace bnn::litert
