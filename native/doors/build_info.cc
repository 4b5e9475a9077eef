#include "doors/build_info.h"

#include "sources.h"

namespace bnn {

#if defined(__x86_64__)
#define BNN_MACHINE "x86_64"
#elif defined(__aarch64__)
#define BNN_MACHINE "aarch64"
#else
#error "bnn-deploy runs on x86-64 and AArch64"
#endif

const BuildInfo kBuildInfo = {BNN_VERSION, BNN_COMPILER, BNN_FLAGS, BNN_MACHINE, BNN_SOURCES};

}  // namespace bnn
