// What the commands that measure share: their options, and the file that they read.
#pragma once

#include "doors/board/arguments.h"
#include "doors/board/measure.h"
#include "engine/memory.h"
#include "engine/status.h"

namespace bnn {

struct MeasureOptions {
  const char* file;  // the value of file_option
  const char* isa;   // null: not given
  int core;          // -1: not pinned
  MeasureSettings settings;

  // Takes its options from the line. False, with a message, when the command line is wrong; to be
  // called after the command has taken its own options.
  bool parse(const char* command, const char* file_option, Arguments* arguments);

  // The bytes of the file; null, with a message, when it cannot be read.
  Memory read(size_t* size) const;

  // Prints why the file or the kernel's name is refused; the exit code.
  int refuse(const Status& status) const;
};

}  // namespace bnn
