// bnn-board: the static program that runs on a board. argv in, JSON lines on stdout, messages on
// stderr.
#include <signal.h>
#include <sys/prctl.h>

#include <cstdio>
#include <cstring>

#include "doors/board/commands.h"
#include "doors/build_info.h"

namespace {

constexpr char kHelp[] = R"(bnn-board: what this board is, and how long 1-bit networks take on it

  bnn-board facts
      One JSON object: CPU, instruction sets, cores, caches, clocks, memory, kernel, build. What the
      system does not tell is null. "emulated": in qemu-user, where no time means anything.

  bnn-board state [--core N]
      How the board is now, one JSON object: {"utc_ns", "core", "cur_khz", "clock_khz",
      "temperature_mc", "throttled", "load1", "free_bytes", "steal_ticks"}. "cur_khz" is what the
      kernel asked for, "clock_khz" what the core does: a chain of additions, timed.

  bnn-board hold --core N [--khz K | --governor NAME]
      Guards a measuring session: takes the board's name, which nobody else gets meanwhile, sets the
      clock where that is permitted, prints {"held", "pid", "core", "freq_locked", "governor",
      "khz", "why"} and waits for the end of its input or SIGINT, SIGTERM, SIGHUP. Then, and also
      when it is killed, the clock is as it was.

  bnn-board layers --plan FILE [options]
      Latency samples of every step of a .bnn plan, one JSON line for each:
      {"index", "kernel", "iterations", "samples_ns", "warmup_ns", "checked", "sentinel_ns"}
      or {"index", "error"}. A sample is the duration of `iterations` calls. Each step's output is
      checked against the scalar kernels first; constants and inputs are invented from the seed.
      The first line is {"block": {"before": STATE}}, the last {"block": {"after": STATE, "wall_ns",
      "cpu_ns", "wall_sampled_ns", "preempted", "sentinel_ns"}}: processor time, time and preemptions
      while samples were taken.
      A step is timed as it runs in a network: rows from and to rings of a few rows in the cache,
      constants from the second level for each row and, if they are large, from behind it for each
      call, for they take turns with copies of themselves; images from there, too. Between two
      turns of a convolution with floats two other steps make theirs, outside of the clock: a sample
      is the sum of its turns, less what looking at the clock takes.
      Its kernel's tile is the fastest of a short measurement, unless a kernel is named.
        --isa NAME            instruction set or kernel (default: $BNN_KERNEL, else the best)
        --core N              run on this core alone (default: not pinned)
        --samples N           rounds; each takes one sample of every step, in shuffled order (30)
        --min-sample-ns N     batch calls until a sample lasts this long (2000000)
        --warmup-ns N         warm up at least this long, until the median is stable (20000000)
        --seed N              of constants, inputs and the order (0)
        --cold-samples N      then N more of each, "cold_samples_ns": one call after sweeping the
                              caches (0)
        --warm                alone, call after call, with constants and image where the call before
                              left them

  bnn-board net --model FILE [options]
      Latency samples of a whole network, one JSON line:
      {"kernels", "segments", "threads", "section_ns", "resident_bytes", "peak_resident_bytes",
       "arena_bytes", "constant_bytes", "iterations", "samples_ns", "warmup_ns", "sentinel_ns"}
      "segments" are the first steps of the parts that run row by row; "section_ns", with more than
      one thread, is the cost of starting and joining them once.
        --isa, --core, --samples, --min-sample-ns, --warmup-ns   as above
        --threads N           the first on --core, the others on the cores after it (1)
        --input FILE          raw float32 [height, width, channels]; adds "outputs"
        --profile             then as many runs again with a clock around each step: a line for each
                              step, {"step", "kernel", "total_ns"}, and {"runs", "threads",
                              "total_ns", "remainder_ns"}; times are summed over the threads, and
                              the steps' and the remainder's make the total
      or, without timing, {..., "images"}:
        --input FILE          raw float32 [images, height, width, channels]
        --output FILE         written: raw float32 [images, outputs]
        --sums FILE           written: raw int32 XOR-popcount sums of every binary convolution in
                              turn, [height, width, channels] each, of the first image

  bnn-board sentinel [--samples N]
      Duration of the sentinel loop on every core, one JSON line for each: the quietest is lowest.

  bnn-board peak [--isa NAME] [--core N] [--samples N] [--min-sample-ns N] [--copy BYTES]
      What this core reaches on registers alone, one JSON line for each instruction set: binary MACs
      (the instructions of the kernels' inner loops), float32 fused multiply-adds, cycles (a chain
      of dependent additions); with --copy also copies of so many bytes. For each the number of
      iterations in a sample and the samples.

  bnn-board --version | --help

facts, state, hold and layers take --sysfs DIR, a folder that stands in for /sys in tests.

Exit code: 0 done, 1 failed (see stderr), 2 wrong command line.
)";

}  // namespace

int main(int argc, char** argv) {
  using namespace bnn;
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // when the profiler is killed, its measurement ends too
  const char* command = argc > 1 ? argv[1] : "";
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--help") == 0 || std::strcmp(argv[i], "-h") == 0) {
      std::fputs(kHelp, stdout);
      return kSuccess;
    }
  }
  Arguments arguments(argc > 2 ? argc - 2 : 0, argv + 2);
  if (std::strcmp(command, "layers") == 0) return run_layers(arguments);
  if (std::strcmp(command, "net") == 0) return run_net(arguments);
  if (std::strcmp(command, "sentinel") == 0) return run_sentinel(arguments);
  if (std::strcmp(command, "peak") == 0) return run_peak(arguments);
  if (std::strcmp(command, "facts") == 0) return run_facts(arguments);
  if (std::strcmp(command, "state") == 0) return run_state(arguments);
  if (std::strcmp(command, "hold") == 0) return run_hold(arguments);
  if (std::strcmp(command, "--version") == 0) {
    std::printf("bnn-board %s\n", kBuildInfo.version);
    return kSuccess;
  }
  std::fprintf(stderr, "bnn-board: unknown command '%s'; see bnn-board --help\n", command);
  return kUsage;
}
