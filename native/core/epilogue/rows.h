// One ISA's versions of the functions of epilogue.h; its file picks the vector V.
#pragma once

#include "core/epilogue/activation.h"
#include "core/epilogue/shortcut.h"

namespace bnn {

struct EpilogueRows {
  void (*avgpool)(const ConvShape&, const float* upper, const float* lower, float* pooled);
  void (*activated)(const ConvShape&, const float* dots, const Bounds&, const EpilogueConstants&,
                    const ShortcutRow&, const RowOutput&);
};

template <class V>
constexpr EpilogueRows epilogue_rows() {
  return {avgpool_row_with<V>, activated_row_with<V>};
}

}  // namespace bnn
