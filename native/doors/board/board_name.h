// A board is measured by one session at a time: who holds its name. The name is an abstract socket,
// which the kernel frees when the last process that has it open ends.
#pragma once

#include "doors/board/sysfs.h"

namespace bnn {

class BoardName {
 public:
  // False, with a message on stderr that names the holder, when another one has it. A board of
  // another sysfs has another name.
  bool take(const Sysfs& sysfs);

  int socket() const { return socket_; }  // readable when somebody asks
  void answer();                          // frees the place of one who has asked

 private:
  int socket_ = -1;
};

}  // namespace bnn
