#include "doors/board/block.h"

#include <sys/resource.h>

#include <ctime>

#include "doors/board/measure.h"

namespace bnn {

Block::Times Block::Times::now() {
  timespec cpu{};
  rusage usage{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
  getrusage(RUSAGE_THREAD, &usage);
  return {now_ns(), int64_t(cpu.tv_sec) * 1'000'000'000 + cpu.tv_nsec, usage.ru_nivcsw};
}

Block::Block(const Sysfs& sysfs) : sysfs_(sysfs), start_ns_(now_ns()) {
  JsonLine json(stdout);
  json.begin_object("block");
  json.begin_object("before");
  BoardState::read(sysfs_).print(&json);
  json.end_object();
  json.end_object();
  json.end();
}

void Block::begin_sampling() { sampling_ = Times::now(); }

void Block::end_sampling() {
  const Times end = Times::now();
  sampling_ = {end.wall_ns - sampling_.wall_ns, end.cpu_ns - sampling_.cpu_ns,
               end.preempted - sampling_.preempted};
}

void Block::finish(const std::vector<int64_t>& sentinels_ns) {
  JsonLine json(stdout);
  json.begin_object("block");
  json.begin_object("after");
  BoardState::read(sysfs_).print(&json);
  json.end_object();
  json.integer("wall_ns", now_ns() - start_ns_);
  json.integer("cpu_ns", sampling_.cpu_ns);
  json.integer("wall_sampled_ns", sampling_.wall_ns);
  json.integer("preempted", sampling_.preempted);
  json.begin_array("sentinel_ns");
  for (int64_t sample : sentinels_ns) json.item(sample);
  json.end_array();
  json.end_object();
  json.end();
}

}  // namespace bnn
