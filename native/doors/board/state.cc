#include "doors/board/state.h"

#include <dirent.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "core/peak/peak.h"
#include "doors/board/commands.h"
#include "doors/board/measure.h"

namespace bnn {
namespace {

constexpr int kClockSamples = 8;
constexpr int64_t kClockLoops = 16'000;  // a millisecond at 1 GHz

// The fastest of a few samples: an interrupt makes a sample longer, nothing makes it shorter.
int64_t clock_khz() {
  const Work adds{[](void*) { run_dependent_adds(kClockLoops); }, nullptr};
  int64_t best_ns = INT64_MAX;
  for (int i = 0; i < kClockSamples; ++i) best_ns = std::min(best_ns, time_calls(adds, 1));
  return kClockLoops * kAddsPerIteration * 1'000'000 / std::max<int64_t>(best_ns, 1);
}

MaybeInteger hottest_zone(const Sysfs& sysfs) {
  MaybeInteger hottest;
  for (int zone = 0; zone < kMostZones; ++zone) {
    char line[kLineBytes];
    // A zone whose sensor sleeps cannot be read, so the first failure is not the end.
    if (!read_thermal_zone(sysfs, zone, "temp", line)) continue;
    const MaybeInteger found = parse_integer(line);
    if (found && (!hottest || *found > *hottest)) hottest = found;
  }
  return hottest;
}

MaybeInteger throttle_bits(const Sysfs& sysfs) {
  char path[kLineBytes], line[kLineBytes];
  if (!find_throttle_source(sysfs, path) || !read_line(path, line)) return std::nullopt;
  return parse_integer(line, 16);
}

// The eighth number of the core's line in /proc/stat.
MaybeInteger steal_ticks(int core) {
  char key[16], value[kLineBytes];
  std::snprintf(key, sizeof key, "cpu%d", core);
  FILE* file = std::fopen("/proc/stat", "r");
  if (!file) return std::nullopt;
  MaybeInteger found;
  while (!found && std::fgets(value, sizeof value, file)) {
    const size_t length = std::strlen(key);
    if (std::strncmp(value, key, length) != 0 || value[length] != ' ') continue;
    const char* number = value + length;
    for (int field = 1; field < 8 && *number; ++field) {
      number += std::strspn(number, " ");
      number += std::strcspn(number, " \n");
    }
    number += std::strspn(number, " ");
    if (*number >= '0' && *number <= '9') found = std::strtoll(number, nullptr, 10);
  }
  std::fclose(file);
  return found;
}

MaybeNumber load_of_a_minute() {
  char line[kLineBytes];
  if (!read_line("/proc/loadavg", line)) return std::nullopt;
  return std::strtod(line, nullptr);
}

}  // namespace

bool read_thermal_zone(const Sysfs& sysfs, int zone, const char* name, char line[kLineBytes]) {
  char path[kLineBytes];
  sysfs.path(path, "class/thermal/thermal_zone%d/%s", zone, name);
  return read_line(path, line);
}

bool find_throttle_source(const Sysfs& sysfs, char path[kLineBytes]) {
  char folder[kLineBytes], line[kLineBytes];
  sysfs.path(folder, "bus/platform/drivers/raspberrypi-firmware");
  DIR* devices = opendir(folder);  // its device's name differs from board to board
  if (!devices) return false;
  bool found = false;
  for (const dirent* entry = readdir(devices); entry && !found; entry = readdir(devices)) {
    sysfs.path(path, "bus/platform/drivers/raspberrypi-firmware/%s/get_throttled", entry->d_name);
    found = read_line(path, line);
  }
  closedir(devices);
  return found;
}

BoardState BoardState::read(const Sysfs& sysfs) {
  BoardState state{};
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  state.utc_ns = int64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
  state.core = sched_getcpu();
  state.clock_khz = bnn::clock_khz();  // first: the governor has seen that the core is busy
  state.cur_khz = sysfs.core_integer(state.core, "cpufreq/scaling_cur_freq");
  state.temperature_mc = hottest_zone(sysfs);
  state.throttled = throttle_bits(sysfs);
  state.load1 = load_of_a_minute();
  state.free_bytes = read_kib_field("/proc/meminfo", "MemAvailable");
  state.steal_ticks = bnn::steal_ticks(state.core);
  return state;
}

void BoardState::print(JsonLine* json) const {
  json->integer("utc_ns", utc_ns);
  json->integer("core", core);
  json->integer("cur_khz", cur_khz);
  json->integer("clock_khz", clock_khz);
  json->integer("temperature_mc", temperature_mc);
  json->integer("throttled", throttled);
  json->number("load1", load1);
  json->integer("free_bytes", free_bytes);
  json->integer("steal_ticks", steal_ticks);
}

int run_state(Arguments arguments) {
  const int core = int(arguments.integer("--core", -1, 0, 4095));
  const Sysfs sysfs(arguments.text("--sysfs", kSysfs));
  if (!arguments.good()) return kUsage;
  if (core >= 0 && !pin_to_core(core)) return kFailure;
  JsonLine json(stdout);
  BoardState::read(sysfs).print(&json);
  json.end();
  return kSuccess;
}

}  // namespace bnn
