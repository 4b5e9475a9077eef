# Linking a program with musl, a small C library: static, and some 650 kB less than with glibc.
#
# Found where Debian's package musl-dev puts it, or where BNN_MUSL_INCLUDE and BNN_MUSL_LIB say. The program must need
# nothing of the C++ library but its headers (native/doors/board/runtime.cc), and its libraries no more of glibc's
# headers than what both C libraries agree on: bnn_core calls memcpy, malloc, pthread_create and the like, on plain types.
set(BNN_MUSL_TRIPLET ${CMAKE_SYSTEM_PROCESSOR}-linux-musl)
find_path(BNN_MUSL_INCLUDE stdio.h PATHS /usr/include/${BNN_MUSL_TRIPLET} NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH
          DOC "musl's headers")
find_path(BNN_MUSL_LIB libc.a PATHS /usr/lib/${BNN_MUSL_TRIPLET} NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH
          DOC "musl's libc.a and crt1.o")

# Headers: the compiler's own and musl's.
function(bnn_link_with_musl target)
  set(folders ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})
  list(FILTER folders INCLUDE REGEX "c\\+\\+|/lib/(gcc|gcc-cross|llvm|clang)")
  target_compile_options(${target} PRIVATE -nostdinc)
  foreach(folder IN LISTS folders ITEMS ${BNN_MUSL_INCLUDE})
    target_compile_options(${target} PRIVATE "SHELL:-isystem ${folder}")
  endforeach()
  # libstdc++'s configuration asks glibc for its version.
  target_compile_options(${target} PRIVATE "-D__GLIBC_PREREQ(major,minor)=0")
  target_link_options(${target} PRIVATE -static -nostdlib -nostartfiles)
  target_link_libraries(${target} PRIVATE ${BNN_MUSL_LIB}/crt1.o ${BNN_MUSL_LIB}/crti.o ${BNN_MUSL_LIB}/libc.a gcc
                                          ${BNN_MUSL_LIB}/libc.a ${BNN_MUSL_LIB}/crtn.o)
endfunction()
