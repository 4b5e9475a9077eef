#include "doors/board/board_name.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "engine/crc32.h"

namespace bnn {
namespace {

constexpr int kAskers = 16;  // that may wait at a time

socklen_t address_of(const Sysfs& sysfs, sockaddr_un* address) {
  *address = sockaddr_un{};
  address->sun_family = AF_UNIX;
  char* name = address->sun_path + 1;  // after the zero byte that makes it abstract
  const size_t room = sizeof address->sun_path - 1;
  const bool real = std::strcmp(sysfs.root(), kSysfs) == 0;
  const uint32_t root =
      crc32(reinterpret_cast<const uint8_t*>(sysfs.root()), std::strlen(sysfs.root()));
  const int length = real ? std::snprintf(name, room, "bnn-deploy-measuring")
                          : std::snprintf(name, room, "bnn-deploy-measuring-%08x", root);
  return socklen_t(offsetof(sockaddr_un, sun_path) + 1 + size_t(length));
}

// The process that listens there; 0 when it cannot be known, as from inside a container.
int holder_of(const sockaddr_un& address, socklen_t size) {
  const int asker = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  ucred holder{};
  socklen_t length = sizeof holder;
  if (connect(asker, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      getsockopt(asker, SOL_SOCKET, SO_PEERCRED, &holder, &length) != 0) {
    holder.pid = 0;
  }
  close(asker);
  return holder.pid;
}

}  // namespace

bool BoardName::take(const Sysfs& sysfs) {
  sockaddr_un address;
  const socklen_t size = address_of(sysfs, &address);
  socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket_ >= 0 && bind(socket_, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
      listen(socket_, kAskers) == 0) {
    return true;
  }
  if (errno != EADDRINUSE) {
    std::perror("bnn-board hold: cannot take the board's name");
    return false;
  }
  const int holder = holder_of(address, size);
  if (holder > 0) {
    std::fprintf(stderr,
                 "bnn-board hold: process %d is measuring on this board; wait for its end\n",
                 holder);
  } else {
    std::fputs("bnn-board hold: another process is measuring on this board; wait for its end\n",
               stderr);
  }
  return false;
}

void BoardName::answer() {
  const int asker = accept(socket_, nullptr, nullptr);
  if (asker >= 0) close(asker);
}

}  // namespace bnn
