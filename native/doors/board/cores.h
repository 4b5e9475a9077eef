// The cores of this board and their caches, as sysfs and the kernel tell of them.
#pragma once

#include "doors/board/json.h"
#include "doors/board/sysfs.h"

namespace bnn {

constexpr int kMostCores = 4096;

// The core's MIDR (ARM: implementer, part, revision), from sysfs or, on kernels before 4.11, put
// together from /proc/cpuinfo. None on other machines.
MaybeInteger read_midr(const Sysfs& sysfs, const char* cpuinfo, int core);

// "core_facts": of every core that is on its MIDR, clocks and governor.
void print_cores(const Sysfs& sysfs, JsonLine* json);

// "caches": of core 0.
void print_caches(const Sysfs& sysfs, JsonLine* json);

// The largest cache of core 0; 0 where sysfs names none.
int64_t largest_cache_bytes(const Sysfs& sysfs);

}  // namespace bnn
