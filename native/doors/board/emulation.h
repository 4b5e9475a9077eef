// Whether this program runs in an emulator of another machine's user programs (qemu-user), and on a
// virtual machine. Timings of the first mean nothing.
#pragma once

#include "doors/board/sysfs.h"

namespace bnn {

// The kernel's name of the program that it really runs, when that is not this program: an emulator.
// False otherwise.
bool find_emulator(char path[kLineBytes]);

// Whether the CPU says that it is a virtual machine's.
bool under_hypervisor();

}  // namespace bnn
