#include "core/epilogue/shortcut.h"
#include "core/simd/neon.h"

namespace bnn {

extern const AvgpoolRow avgpool_row_neon;

const AvgpoolRow avgpool_row_neon = avgpool_row_with<Neon>;

}  // namespace bnn
