#include "core/epilogue/rows.h"
#include "core/simd/avx512.h"

namespace bnn {

extern const EpilogueRows epilogue_avx512;

const EpilogueRows epilogue_avx512 = {binary_row<Avx512>, real_row<Avx512>, compare_row<Avx512>};

}  // namespace bnn
