#include "core/epilogue/rows.h"
#include "core/simd/avx512.h"

namespace bnn {

extern const EpilogueRows epilogue_avx512;

const EpilogueRows epilogue_avx512 = epilogue_rows<Avx512>();

}  // namespace bnn
