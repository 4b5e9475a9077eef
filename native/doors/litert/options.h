// What kind of node it is, and its options.
#pragma once

#include "doors/litert/graph.h"

namespace bnn::litert {

// Fills op, options and nothing else. Of our own operators and Larq Compute Engine's, false means
// that the options are malformed: `status` says how. A builtin operator with options that we do not
// run is Op::kOther.
bool read_options(const TfLiteRegistration& registration, const TfLiteNode& from, Node* node,
                  Status* status);

}  // namespace bnn::litert
