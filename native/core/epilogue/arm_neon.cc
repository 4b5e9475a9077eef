#include "core/epilogue/rows.h"
#include "core/simd/neon.h"

namespace bnn {

extern const EpilogueRows epilogue_neon;

const EpilogueRows epilogue_neon = epilogue_rows<Neon>();

}  // namespace bnn
