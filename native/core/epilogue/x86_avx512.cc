#include "core/epilogue/shortcut.h"
#include "core/simd/avx512.h"

namespace bnn {

extern const AvgpoolRow avgpool_row_avx512;

const AvgpoolRow avgpool_row_avx512 = avgpool_row_with<Avx512>;

}  // namespace bnn
