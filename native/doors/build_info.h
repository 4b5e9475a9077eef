// How this binary was built.
#pragma once

namespace bnn {

struct BuildInfo {
  const char* version;   // of bnn-deploy
  const char* compiler;  // "GNU 12.2.0"
  const char* flags;     // of the baseline files; ISA files add theirs
  const char* machine;   // "x86_64" or "aarch64"
  const char* sources;   // revision of native/ and the build's files, "-dirty" when changed since;
                         // null: unknown
};

extern const BuildInfo kBuildInfo;

}  // namespace bnn
