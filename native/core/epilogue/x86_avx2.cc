#include "core/epilogue/shortcut.h"
#include "core/simd/avx2.h"

namespace bnn {

extern const AvgpoolRow avgpool_row_avx2;

const AvgpoolRow avgpool_row_avx2 = avgpool_row_with<Avx2>;

}  // namespace bnn
