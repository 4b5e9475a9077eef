// How long each step has taken, as a JSON document in a file that is complete when the delegate is
// gone (docs/litert.md). Times of all runs, summed over the threads.
#pragma once

#include <cstdint>
#include <cstdio>

namespace bnn::litert {

class Profile {
 public:
  Profile() = default;
  Profile(const Profile&) = delete;
  ~Profile();

  // False: the file cannot be written.
  bool open(const char* path);
  bool is_open() const { return file_ != nullptr; }

  void add(const char* name, const char* kernel, int64_t total_ns);
  // Of a model; of several, those of the one that ran most.
  void add_runs(int64_t runs, int threads);

 private:
  std::FILE* file_ = nullptr;
  int64_t runs_ = 0;
  int threads_ = 1;
  bool first_ = true;
};

}  // namespace bnn::litert
