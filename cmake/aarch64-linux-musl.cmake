# Cross build for 64-bit ARM Linux with the compiler and the C library of the Python package ziglang, which anyone can
# install. BNN_ZIG is the program `zig` in the package's folder:
#   BNN_ZIG=.../site-packages/ziglang/zig cmake -S . -B build/aarch64 --toolchain cmake/aarch64-linux-musl.cmake
if(NOT DEFINED ENV{BNN_ZIG})
  message(FATAL_ERROR "set the environment variable BNN_ZIG to the program zig of the Python package ziglang")
endif()
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER $ENV{BNN_ZIG} c++ -target aarch64-linux-musl)
set(CMAKE_AR $ENV{BNN_ZIG})
set(CMAKE_CXX_ARCHIVE_CREATE "<CMAKE_AR> ar qc <TARGET> <LINK_FLAGS> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_APPEND "<CMAKE_AR> ar q <TARGET> <LINK_FLAGS> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "<CMAKE_AR> ranlib <TARGET>")
set(BNN_MUSL_LIB 0)  # it brings its own
set(BNN_DOTPROD -mcpu=generic+dotprod)  # it takes -march for the name of a processor
