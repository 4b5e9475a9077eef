// `bnn-board sentinel`: how fast each core is at this moment.
#include <sched.h>

#include <cstdint>
#include <vector>

#include "doors/board/commands.h"
#include "doors/board/json.h"
#include "doors/board/measure.h"

namespace bnn {

int run_sentinel(Arguments arguments) {
  const int samples = int(arguments.integer("--samples", 15, 1, 100'000));
  if (!arguments.good()) return kUsage;
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return kFailure;
  std::vector<int64_t> sentinels_ns(static_cast<size_t>(samples));
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &allowed) || !pin_to_core(core)) continue;
    for (int64_t& sample_ns : sentinels_ns) sample_ns = sentinel_ns();
    JsonLine json(stdout);
    json.integer("core", core);
    json.begin_array("sentinel_ns");
    for (int64_t sample_ns : sentinels_ns) json.item(sample_ns);
    json.end_array();
    json.end();
  }
  return kSuccess;
}

}  // namespace bnn
