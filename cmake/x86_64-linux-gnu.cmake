# Cross build for x86-64 Linux, from another machine (Debian: g++-x86-64-linux-gnu):
#   cmake -S . -B build/x86_64 --toolchain cmake/x86_64-linux-gnu.cmake
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_CXX_COMPILER x86_64-linux-gnu-g++)
