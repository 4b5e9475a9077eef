# Cross build for 64-bit ARM Linux (Debian: g++-aarch64-linux-gnu; tests run under qemu-aarch64-static):
#   cmake -S . -B build/aarch64 --toolchain cmake/aarch64-linux-gnu.cmake
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
find_program(BNN_QEMU qemu-aarch64-static)
if(BNN_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${BNN_QEMU} -L /usr/aarch64-linux-gnu)
endif()
