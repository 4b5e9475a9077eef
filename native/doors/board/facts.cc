// `bnn-board facts`: what this board and this build are. What cannot be read is null or left out,
// never guessed.
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "core/isa.h"
#include "doors/board/commands.h"
#include "doors/board/cores.h"
#include "doors/board/emulation.h"
#include "doors/board/json.h"
#include "doors/board/state.h"
#include "doors/build_info.h"

namespace bnn {
namespace {

constexpr int kSchema =
    2;  // 2: core_facts, memory, hypervisor, emulated, zones, throttling, sources

// "Intel(R) ...", on ARM the board's own name and the core's part number, in an emulator its name
// and the computer's.
const char* cpu_model(char text[3 * kLineBytes]) {
  char model[kLineBytes], board[kLineBytes], part[kLineBytes], emulator[kLineBytes];
  const bool has_model = read_field("/proc/cpuinfo", "model name", ':', model);
  if (find_emulator(emulator)) {
    const char* slash = std::strrchr(emulator, '/');
    std::snprintf(text, 3 * kLineBytes, "%s%s%s", slash ? slash + 1 : emulator,
                  has_model ? " on " : "", has_model ? model : "");
    return text;
  }
  const bool has_board = read_line("/proc/device-tree/model", board);
  if (has_model && !has_board) return std::strcpy(text, model);
  const bool has_part = read_field("/proc/cpuinfo", "CPU part", ':', part);
  if (!has_board && !has_part) return nullptr;
  std::snprintf(text, 3 * kLineBytes, "%s%s%s", has_board ? board : "ARM", has_part ? " core " : "",
                has_part ? part : "");
  return text;
}

void print_isas(JsonLine* json) {
  json->begin_array("isa");
  for (Isa isa : kIsas) {
    if (isa_supported(isa)) json->item_text(isa_name(isa));
  }
  json->end_array();
  json->text("best_isa", isa_name(best_isa()));
}

void print_clock(const Sysfs& sysfs, JsonLine* json) {
  char governor[kLineBytes];
  const bool governed = sysfs.read_core(0, "cpufreq/scaling_governor", governor);
  json->text("governor", governed ? governor : nullptr);
  json->integer("cur_khz", sysfs.core_integer(0, "cpufreq/scaling_cur_freq"));
  json->integer("max_khz", sysfs.core_integer(0, "cpufreq/cpuinfo_max_freq"));
}

void print_heat(const Sysfs& sysfs, JsonLine* json) {
  char line[kLineBytes];
  json->begin_array("temperature_zones");
  for (int zone = 0; zone < kMostZones && read_thermal_zone(sysfs, zone, "type", line); ++zone) {
    json->item_text(line);
  }
  json->end_array();
  json->text("throttle_source", find_throttle_source(sysfs, line) ? line : nullptr);
}

void print_system(JsonLine* json) {
  char line[kLineBytes];
  utsname name{};
  json->integer("memory_bytes", read_kib_field("/proc/meminfo", "MemTotal"));
  json->boolean("hypervisor", under_hypervisor());
  json->boolean("emulated", find_emulator(line));
  json->text("kernel_release", uname(&name) == 0 ? name.release : nullptr);
  json->text("os", read_field("/etc/os-release", "PRETTY_NAME", '=', line) ? line : nullptr);
  json->integer("page_bytes", int64_t(sysconf(_SC_PAGESIZE)));
}

void print_build(JsonLine* json) {
  json->text("version", kBuildInfo.version);
  json->text("compiler", kBuildInfo.compiler);
  json->text("flags", kBuildInfo.flags);
  json->text("sources", kBuildInfo.sources);
}

}  // namespace

int run_facts(Arguments arguments) {
  const Sysfs sysfs(arguments.text("--sysfs", kSysfs));
  if (!arguments.good()) return kUsage;
  char cpu[3 * kLineBytes];
  JsonLine json(stdout);
  json.integer("schema", kSchema);
  json.text("cpu", cpu_model(cpu));
  json.text("machine", kBuildInfo.machine);
  print_isas(&json);
  json.integer("cores", int64_t(sysconf(_SC_NPROCESSORS_ONLN)));
  print_cores(sysfs, &json);
  print_caches(sysfs, &json);
  print_clock(sysfs, &json);
  print_heat(sysfs, &json);
  print_system(&json);
  print_build(&json);
  json.end();
  return kSuccess;
}

}  // namespace bnn
