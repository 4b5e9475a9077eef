# The sources of the core, with the instruction-set flags of each file, and of its tests.
#
# Only the files of the target architecture are listed. Everything but the files named here is compiled for
# the baseline, so that one binary runs on every CPU of its architecture and chooses at run time.
#   BNN_CORE_SOURCES  the core library
#   BNN_TEST_SOURCES  one test executable each

set(BNN_CORE_DIR ${CMAKE_CURRENT_LIST_DIR})

# bnn_core_sources(<file>... [FLAGS <flag>...]) adds files of native/core, compiled with these flags.
function(bnn_core_sources)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "" "FLAGS")
  list(TRANSFORM arg_UNPARSED_ARGUMENTS PREPEND ${BNN_CORE_DIR}/)
  # -ffp-contract=off: the epilogues give the same float32 on every instruction set.
  set_source_files_properties(${arg_UNPARSED_ARGUMENTS} PROPERTIES COMPILE_OPTIONS
                              "-ffp-contract=off;${arg_FLAGS}")
  set(BNN_CORE_SOURCES ${BNN_CORE_SOURCES} ${arg_UNPARSED_ARGUMENTS} PARENT_SCOPE)
endfunction()

set(BNN_CORE_SOURCES)
bnn_core_sources(isa.cc bitpack.cc epilogue/epilogue.cc epilogue/scalar.cc float/float_ops.cc float/scalar.cc)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  # -mtune: GCC's generic tuning spills general registers to vector registers, whose moves wait for
  # the vector work in flight: 100 cycles per tile.
  bnn_core_sources(epilogue/x86_avx2.cc FLAGS -mavx2 -mfma)
  bnn_core_sources(float/x86_avx2.cc FLAGS -mavx2 -mfma -mtune=haswell)
  set(BNN_AVX512BW -mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl
      # GCC 12's own intrinsics start variables from themselves.
      $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized>)
  bnn_core_sources(epilogue/x86_avx512.cc FLAGS ${BNN_AVX512BW})
  bnn_core_sources(float/x86_avx512.cc FLAGS ${BNN_AVX512BW} -mtune=icelake-server)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
  bnn_core_sources(epilogue/arm_neon.cc float/arm_neon.cc)
endif()
include(${BNN_CORE_DIR}/bconv2d/sources.cmake)

# The peak of an instruction set (peak/peak.h), with the flags of its kernels.
bnn_core_sources(peak/peak.cc)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  bnn_core_sources(peak/x86_avx2.cc FLAGS -mavx2 -mfma)
  bnn_core_sources(peak/x86_avx512bw.cc FLAGS ${BNN_AVX512BW})
  bnn_core_sources(peak/x86_avx512.cc FLAGS ${BNN_AVX512BW} -mavx512vpopcntdq)
else()
  bnn_core_sources(peak/arm_neon.cc)
endif()

set(BNN_TEST_SOURCES
    ${BNN_CORE_DIR}/../tests/bitpack_test.cc ${BNN_CORE_DIR}/../tests/bconv2d_test.cc
    ${BNN_CORE_DIR}/../tests/epilogue_test.cc ${BNN_CORE_DIR}/../tests/float_test.cc)
