#include "core/epilogue/rows.h"
#include "core/simd/avx2.h"

namespace bnn {

extern const EpilogueRows epilogue_avx2;

const EpilogueRows epilogue_avx2 = {binary_row<Avx2>, real_row<Avx2>, compare_row<Avx2>};

}  // namespace bnn
