#include "doors/board/facts.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "core/isa.h"
#include "doors/board/arguments.h"
#include "doors/board/json.h"
#include "doors/build_info.h"

namespace bnn {
namespace {

constexpr int kSchema = 1;
constexpr size_t kLine = 256;

// First line of a small file, without its newline. False when it cannot be read or is empty.
bool first_line(const char* path, char* line) {
  FILE* file = std::fopen(path, "r");
  if (!file) return false;
  const bool read = std::fgets(line, kLine, file) != nullptr;
  std::fclose(file);
  if (read) line[std::strcspn(line, "\n")] = '\0';
  return read && *line;
}

// Value of the first "key : value" or KEY="value" line.
bool value_of(const char* path, const char* key, char separator, char* value) {
  FILE* file = std::fopen(path, "r");
  if (!file) return false;
  char line[kLine];
  bool found = false;
  while (!found && std::fgets(line, kLine, file)) {
    char* colon = std::strchr(line, separator);
    if (std::strncmp(line, key, std::strlen(key)) != 0 || !colon) continue;
    char* start = colon + 1 + std::strspn(colon + 1, " \t\"");
    start[std::strcspn(start, "\"\n")] = '\0';
    std::strcpy(value, start);
    found = true;
  }
  std::fclose(file);
  return found && *value;
}

// "Intel(R) ...", or on ARM the board's own name and the core's part number.
const char* cpu_model(char* text) {
  if (value_of("/proc/cpuinfo", "model name", ':', text)) return text;
  char board[kLine], part[kLine];
  const bool has_board = first_line("/proc/device-tree/model", board);
  const bool has_part = value_of("/proc/cpuinfo", "CPU part", ':', part);
  if (!has_board && !has_part) return nullptr;
  std::snprintf(text, 3 * kLine, "%s%s%s", has_board ? board : "ARM", has_part ? " core " : "",
                has_part ? part : "");
  return text;
}

void frequency(JsonLine* json, const char* key, const char* file) {
  char path[kLine], line[kLine];
  std::snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cpufreq/%s", file);
  if (first_line(path, line)) {
    json->integer(key, std::atoll(line));
  } else {
    json->text(key, nullptr);
  }
}

// "32K" or "1M" in bytes
int64_t bytes_of(const char* size) {
  char* unit = nullptr;
  const int64_t number = std::strtoll(size, &unit, 10);
  return *unit == 'K' ? number << 10 : *unit == 'M' ? number << 20 : number;
}

void caches(JsonLine* json) {
  json->begin_array("caches");
  for (int index = 0; index < 16; ++index) {
    char path[kLine], level[kLine], type[kLine], size[kLine];
    const auto read = [&](const char* field, char* line) {
      std::snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index,
                    field);
      return first_line(path, line);
    };
    if (!read("level", level) || !read("type", type) || !read("size", size)) continue;
    json->begin_item();
    json->integer("level", std::atoi(level));
    json->text("type", type);
    json->integer("bytes", bytes_of(size));
    json->end_item();
  }
  json->end_array();
}

}  // namespace

int print_facts() {
  char text[3 * kLine];
  JsonLine json(stdout);
  json.integer("schema", kSchema);
  json.text("cpu", cpu_model(text));
  json.text("machine", kBuildInfo.machine);
  json.begin_array("isa");
  for (Isa isa : kIsas) {
    if (isa_supported(isa)) json.item_text(isa_name(isa));
  }
  json.end_array();
  json.text("best_isa", isa_name(best_isa()));
  json.integer("cores", sysconf(_SC_NPROCESSORS_ONLN));
  caches(&json);
  const bool governed = first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", text);
  json.text("governor", governed ? text : nullptr);
  frequency(&json, "cur_khz", "scaling_cur_freq");
  frequency(&json, "max_khz", "cpuinfo_max_freq");
  utsname name{};
  const bool named = uname(&name) == 0;
  json.text("kernel_release", named ? name.release : nullptr);
  json.text("os", value_of("/etc/os-release", "PRETTY_NAME", '=', text) ? text : nullptr);
  json.integer("page_bytes", sysconf(_SC_PAGESIZE));
  json.text("version", kBuildInfo.version);
  json.text("compiler", kBuildInfo.compiler);
  json.text("flags", kBuildInfo.flags);
  json.end();
  return kSuccess;
}

}  // namespace bnn
