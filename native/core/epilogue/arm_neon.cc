#include "core/epilogue/rows.h"
#include "core/simd/neon.h"

namespace bnn {

extern const EpilogueRows epilogue_neon;

const EpilogueRows epilogue_neon = {binary_row<Neon>, real_row<Neon>, compare_row<Neon>};

}  // namespace bnn
