// `bnn-board hold`: one measuring session at a time on a board, at a clock that stays.
//
// A watcher, a fork in a session of its own, puts the clock back when the holder ends, however it
// ends: it waits for the end of a pipe that only the holder can write to. The board's name, which
// both have open, is free again after that.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "doors/board/board_name.h"
#include "doors/board/commands.h"
#include "doors/board/cpufreq.h"
#include "doors/board/measure.h"

namespace bnn {
namespace {

constexpr int64_t kMostKhz = 100'000'000;

struct Wish {
  const char* governor;  // null: as it is
  int64_t khz;           // 0: as it is
};

// Signals that end a session become something to wait for; a reader that has gone is no reason to
// die before the clock is back.
int block_signals() {
  sigset_t ends;
  sigemptyset(&ends);
  for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ends, number);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &ends, SFD_CLOEXEC);
}

class Watcher {
 public:
  // Starts it; false when the system refuses.
  bool start(const Cpufreq& clock) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    process_ = fork();
    if (process_ == 0) {
      close(ends[1]);
      watch(ends[0], clock);
    }
    close(ends[0]);
    if (process_ < 0) close(ends[1]);
    alive_ = ends[1];
    return process_ > 0;
  }
  // Has it put the clock back, and waits for that. False when it could not.
  bool finish() {
    close(alive_);
    int status = -1;
    while (waitpid(process_, &status, 0) < 0 && errno == EINTR) {
    }
    return status == 0;
  }

 private:
  // It keeps no stream of the holder's open, else a connection would wait for its end. Signals are
  // blocked as in the holder.
  [[noreturn]] static void watch(int holder, const Cpufreq& clock) {
    setsid();
    const int nothing = open("/dev/null", O_RDWR);
    for (int stream = 0; stream < 3; ++stream) dup2(nothing, stream);
    char byte;
    while (read(holder, &byte, 1) < 0 && errno == EINTR) {
    }
    _exit(clock.restore() ? 0 : 1);
  }

  pid_t process_ = -1;
  int alive_ = -1;
};

// Null when the clock is locked, else why it is not, maybe in `text`.
const char* set_clock(const Cpufreq& clock, const Wish& wish, char* text, size_t size) {
  if (wish.governor && !clock.set_governor(wish.governor)) {
    std::snprintf(text, size, "cannot set governor %s: %s", wish.governor, std::strerror(errno));
    return text;
  }
  if (wish.khz && !clock.set_khz(wish.khz)) {
    std::snprintf(text, size, "cannot set %lld kHz: %s", (long long)(wish.khz),
                  std::strerror(errno));
    return text;
  }
  if (clock.locked_khz()) return nullptr;
  return wish.governor || wish.khz ? "the processor chooses its clock itself"
                                   : "no clock was asked for";
}

void print_held(const Cpufreq& clock, int core, const char* why) {
  char governor[kLineBytes];
  const MaybeInteger khz = clock.locked_khz();
  JsonLine json(stdout);
  json.boolean("held", true);
  json.integer("pid", getpid());
  json.integer("core", core);
  json.boolean("freq_locked", khz.has_value());
  json.text("governor", clock.governor(governor));
  json.integer("khz", khz);
  json.text("why", why);
  json.end();
}

// Until the end of stdin or a signal; whoever asks for the name meanwhile may learn whose it is.
void wait_for_the_end(int signals, BoardName* name) {
  pollfd wanted[] = {{STDIN_FILENO, POLLIN, 0}, {signals, POLLIN, 0}, {name->socket(), POLLIN, 0}};
  for (;;) {
    if (poll(wanted, 3, -1) < 0 && errno != EINTR) return;
    if (wanted[1].revents) return;
    if (wanted[2].revents) name->answer();
    char bytes[kLineBytes];
    if (wanted[0].revents && read(STDIN_FILENO, bytes, sizeof bytes) <= 0) return;
  }
}

}  // namespace

int run_hold(Arguments arguments) {
  const int core = int(arguments.integer("--core", -1, 0, 4095));
  const Wish wish{arguments.text("--governor", nullptr),
                  arguments.integer("--khz", 0, 1, kMostKhz)};
  const Sysfs sysfs(arguments.text("--sysfs", kSysfs));
  if (!arguments.good()) return kUsage;
  if (core < 0 || (wish.governor && wish.khz)) {
    std::fputs(core < 0 ? "bnn-board hold: --core N is missing\n"
                        : "bnn-board hold: --khz or --governor, not both\n",
               stderr);
    return kUsage;
  }
  prctl(PR_SET_PDEATHSIG, 0);  // stdin tells when the profiler has gone, and only that
  const int signals = block_signals();
  BoardName name;
  if (!name.take(sysfs)) return kFailure;

  Cpufreq clock(sysfs, core);
  Watcher watcher;
  char text[kLineBytes];
  const char* why = "this core has no cpufreq: its clock is not the system's to set";
  const bool settable = clock.read();
  const bool setting = settable && (wish.governor || wish.khz);
  if (setting && !watcher.start(clock)) {
    std::perror("bnn-board hold: cannot start a watcher");
    return kFailure;
  }
  if (settable) why = set_clock(clock, wish, text, sizeof text);
  print_held(clock, core, why);
  wait_for_the_end(signals, &name);
  // A watcher that was killed has put nothing back.
  if (!setting || watcher.finish() || clock.restore()) return kSuccess;
  std::fprintf(stderr, "bnn-board hold: cannot put the clock of core %d back: %s\n", core,
               std::strerror(errno));
  return kFailure;
}

}  // namespace bnn
