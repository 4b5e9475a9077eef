#pragma once

namespace bnn {

// `bnn-board facts`: one JSON object that says what this board and this build are. What cannot be
// read is null or left out, never guessed.
int print_facts();

}  // namespace bnn
