#include "doors/board/cores.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace bnn {
namespace {

constexpr int kMostCaches = 16;

struct Cache {
  int64_t level, bytes;
  char type[kLineBytes];
};

// "32K" or "1M" in bytes
int64_t bytes_of(const char* size) {
  char* unit = nullptr;
  const int64_t number = std::strtoll(size, &unit, 10);
  return *unit == 'K' ? number << 10 : *unit == 'M' ? number << 20 : number;
}

bool read_cache(const Sysfs& sysfs, int index, Cache* cache) {
  char name[64], level[kLineBytes], size[kLineBytes];
  const auto read = [&](const char* field, char* line) {
    std::snprintf(name, sizeof name, "cache/index%d/%s", index, field);
    return sysfs.read_core(0, name, line);
  };
  if (!read("level", level) || !read("type", cache->type) || !read("size", size)) return false;
  cache->level = std::atoi(level);
  cache->bytes = bytes_of(size);
  return true;
}

// The fields of one processor in /proc/cpuinfo, as MIDR_EL1 holds them.
struct MidrField {
  const char* key;
  int shift;
};
constexpr MidrField kMidrFields[] = {
    {"CPU implementer", 24}, {"CPU variant", 20}, {"CPU part", 4}, {"CPU revision", 0}};
constexpr int64_t kArchitectureByFeatures = int64_t(0xF) << 16;

MaybeInteger midr_of_cpuinfo(const char* cpuinfo, int core) {
  FILE* file = std::fopen(cpuinfo, "r");
  if (!file) return std::nullopt;
  char line[kLineBytes];
  bool here = false;
  size_t found = 0;
  int64_t midr = kArchitectureByFeatures;
  while (std::fgets(line, sizeof line, file)) {
    const char* colon = std::strchr(line, ':');
    if (!colon) continue;
    if (std::strncmp(line, "processor", 9) == 0) here = std::atoi(colon + 1) == core;
    for (const MidrField& field : kMidrFields) {
      if (!here || std::strncmp(line, field.key, std::strlen(field.key)) != 0) continue;
      midr |= int64_t(std::strtoll(colon + 1, nullptr, 0)) << field.shift;
      ++found;
    }
  }
  std::fclose(file);
  if (found != sizeof kMidrFields / sizeof *kMidrFields) return std::nullopt;
  return midr;
}

}  // namespace

MaybeInteger read_midr(const Sysfs& sysfs, const char* cpuinfo, int core) {
  char line[kLineBytes];
  if (sysfs.read_core(core, "regs/identification/midr_el1", line)) return parse_integer(line, 16);
  return midr_of_cpuinfo(cpuinfo, core);
}

void print_cores(const Sysfs& sysfs, JsonLine* json) {
  json->begin_array("core_facts");
  for (int core = 0; core < kMostCores && sysfs.core_exists(core); ++core) {
    if (!sysfs.core_online(core)) continue;
    char governor[kLineBytes], hexadecimal[32];
    const bool governed = sysfs.read_core(core, "cpufreq/scaling_governor", governor);
    const MaybeInteger midr = read_midr(sysfs, "/proc/cpuinfo", core);
    if (midr) std::snprintf(hexadecimal, sizeof hexadecimal, "0x%llx", (long long)(*midr));
    json->begin_item();
    json->integer("core", core);
    json->text("midr", midr ? hexadecimal : nullptr);
    json->integer("max_khz", sysfs.core_integer(core, "cpufreq/cpuinfo_max_freq"));
    json->integer("min_khz", sysfs.core_integer(core, "cpufreq/cpuinfo_min_freq"));
    json->text("governor", governed ? governor : nullptr);
    json->end_item();
  }
  json->end_array();
}

void print_caches(const Sysfs& sysfs, JsonLine* json) {
  json->begin_array("caches");
  for (int index = 0; index < kMostCaches; ++index) {
    Cache cache;
    if (!read_cache(sysfs, index, &cache)) continue;
    json->begin_item();
    json->integer("level", cache.level);
    json->text("type", cache.type);
    json->integer("bytes", cache.bytes);
    json->end_item();
  }
  json->end_array();
}

int64_t largest_cache_bytes(const Sysfs& sysfs) {
  int64_t largest = 0;
  for (int index = 0; index < kMostCaches; ++index) {
    Cache cache;
    if (read_cache(sysfs, index, &cache)) largest = std::max(largest, cache.bytes);
  }
  return largest;
}

}  // namespace bnn
