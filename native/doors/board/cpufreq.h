// The clock of one core, as the kernel's cpufreq lets it be set: read, set, put back.
#pragma once

#include "doors/board/json.h"
#include "doors/board/sysfs.h"

namespace bnn {

class Cpufreq {
 public:
  Cpufreq(const Sysfs& sysfs, int core) : sysfs_(sysfs), core_(core) {}

  // Notes what is set now; false when this core has no cpufreq.
  bool read();
  // What was read, put back. False, with errno set, when the system refuses; it tries everything.
  bool restore() const;

  // False, with errno set, when the system refuses or does not keep to it.
  bool set_governor(const char* governor) const;
  bool set_khz(int64_t khz) const;

  // As it is now: null where there is none.
  const char* governor(char line[kLineBytes]) const;
  // The only clock that the governor may choose, if there is just one.
  MaybeInteger locked_khz() const;

 private:
  bool write(const char* name, const char* text) const;
  bool set_limits(const char* min_khz, const char* max_khz) const;

  Sysfs sysfs_;
  int core_;
  char governor_[kLineBytes] = "", min_khz_[kLineBytes] = "", max_khz_[kLineBytes] = "";
  char speed_[kLineBytes] = "";  // of the governor "userspace"
};

}  // namespace bnn
