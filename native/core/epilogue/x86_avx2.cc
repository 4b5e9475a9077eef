#include "core/epilogue/rows.h"
#include "core/simd/avx2.h"

namespace bnn {

extern const EpilogueRows epilogue_avx2;

const EpilogueRows epilogue_avx2 = epilogue_rows<Avx2>();

}  // namespace bnn
