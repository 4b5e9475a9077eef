#include "doors/board/emulation.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace bnn {
namespace {

bool read_link(const char* link, char path[kLineBytes]) {
  const ssize_t size = readlink(link, path, kLineBytes - 1);
  if (size < 0) return false;
  path[size] = '\0';
  return true;
}

}  // namespace

// qemu-user answers /proc/self/exe with the program that it runs, as the program would expect. The
// same link of the thread it leaves to the kernel, which names the emulator.
bool find_emulator(char path[kLineBytes]) {
  char of_thread[64], self[kLineBytes];
  std::snprintf(of_thread, sizeof of_thread, "/proc/self/task/%ld/exe", long(syscall(SYS_gettid)));
  return read_link("/proc/self/exe", self) && read_link(of_thread, path) &&
         std::strcmp(self, path) != 0;
}

bool under_hypervisor() {
#if defined(__x86_64__)
  constexpr unsigned kHypervisor = 1u << 31;  // of leaf 1, register C
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & kHypervisor);
#else
  return access("/proc/device-tree/hypervisor", F_OK) == 0;
#endif
}

}  // namespace bnn
