#include "doors/board/cpufreq.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace bnn {
namespace {

constexpr const char* kGovernor = "cpufreq/scaling_governor";
constexpr const char* kMinKhz = "cpufreq/scaling_min_freq";
constexpr const char* kMaxKhz = "cpufreq/scaling_max_freq";
constexpr const char* kSpeed = "cpufreq/scaling_setspeed";

}  // namespace

bool Cpufreq::read() {
  if (!sysfs_.read_core(core_, kGovernor, governor_) ||
      !sysfs_.read_core(core_, kMinKhz, min_khz_) || !sysfs_.read_core(core_, kMaxKhz, max_khz_)) {
    return false;
  }
  if (std::strcmp(governor_, "userspace") == 0) sysfs_.read_core(core_, kSpeed, speed_);
  return true;
}

// What holds already is not written: that needs no permission.
bool Cpufreq::write(const char* name, const char* text) const {
  char line[kLineBytes];
  if (sysfs_.read_core(core_, name, line) && std::strcmp(line, text) == 0) return true;
  return sysfs_.write_core(core_, name, text);
}

// The kernel refuses a lower limit above the upper one, whichever is written first: so the lower
// one twice.
bool Cpufreq::set_limits(const char* min_khz, const char* max_khz) const {
  write(kMinKhz, min_khz);
  const bool upper = write(kMaxKhz, max_khz);
  return write(kMinKhz, min_khz) && upper;
}

bool Cpufreq::set_governor(const char* governor) const {
  char line[kLineBytes];
  if (!write(kGovernor, governor)) return false;
  errno = EINVAL;
  return sysfs_.read_core(core_, kGovernor, line) && std::strcmp(line, governor) == 0;
}

bool Cpufreq::set_khz(int64_t khz) const {
  char text[kLineBytes];
  std::snprintf(text, sizeof text, "%lld", (long long)(khz));
  if (!set_limits(text, text)) return false;
  errno = EINVAL;
  return locked_khz() == khz;
}

bool Cpufreq::restore() const {
  const bool governed = write(kGovernor, governor_);
  const bool limited = set_limits(min_khz_, max_khz_);
  return (!*speed_ || write(kSpeed, speed_)) && governed && limited;
}

const char* Cpufreq::governor(char line[kLineBytes]) const {
  return sysfs_.read_core(core_, kGovernor, line) ? line : nullptr;
}

MaybeInteger Cpufreq::locked_khz() const {
  const MaybeInteger lowest = sysfs_.core_integer(core_, kMinKhz);
  if (lowest && lowest == sysfs_.core_integer(core_, kMaxKhz)) return lowest;
  // These two stay at a limit. (Drivers that leave the choice to the processor only call it so.)
  char driver[kLineBytes], line[kLineBytes];
  const bool chosen = sysfs_.read_core(core_, "cpufreq/scaling_driver", driver) &&
                      (std::strstr(driver, "pstate") || std::strstr(driver, "cppc"));
  if (chosen || !governor(line)) return std::nullopt;
  if (std::strcmp(line, "performance") == 0) return sysfs_.core_integer(core_, kMaxKhz);
  if (std::strcmp(line, "powersave") == 0) return lowest;
  return std::nullopt;
}

}  // namespace bnn
