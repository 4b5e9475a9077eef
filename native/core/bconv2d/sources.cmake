# The binary convolution kernels with the instruction-set flags of each file; included by ../sources.cmake,
# which sets BNN_AVX512BW. A new kernel needs this folder alone: its file, its flags here, its line in
# kernels.inc.

bnn_core_sources(bconv2d/bconv2d.cc bconv2d/placement.cc bconv2d/scalar.cc)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  bnn_core_sources(bconv2d/x86_avx2.cc FLAGS -mavx2 -mfma)
  # No vectors but those written by hand. -mtune: see ../sources.cmake.
  bnn_core_sources(bconv2d/x86_avx2_lanes.cc FLAGS -mavx2 -mfma -mtune=haswell
                   $<$<CXX_COMPILER_ID:GNU>:-fno-tree-vectorize>)
  # Loops that are not split in two are as fast, and 35 kB less.
  bnn_core_sources(bconv2d/x86_avx512bw.cc bconv2d/x86_avx512bw_lanes.cc
                   FLAGS ${BNN_AVX512BW} -mtune=icelake-server
                   $<$<CXX_COMPILER_ID:GNU>:-fno-tree-vectorize> $<$<CXX_COMPILER_ID:GNU>:-fno-split-loops>)
  bnn_core_sources(bconv2d/x86_avx512.cc bconv2d/x86_avx512_lanes.cc
                   FLAGS ${BNN_AVX512BW} -mavx512vpopcntdq -mavx512bitalg -mtune=icelake-server
                   $<$<CXX_COMPILER_ID:GNU>:-fno-tree-vectorize>)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
  # The kernels are written in the order in which they should issue and just fit the 32 registers; GCC
  # would start all pixels of a tile at once and delay their additions, and then spill.
  set(BNN_IN_ORDER $<$<CXX_COMPILER_ID:GNU>:-fno-schedule-insns> $<$<CXX_COMPILER_ID:GNU>:-fno-tree-ter>)
  bnn_core_sources(bconv2d/arm_neon.cc FLAGS ${BNN_IN_ORDER})
  bnn_core_sources(bconv2d/arm_neon_lanes.cc FLAGS ${BNN_IN_ORDER} $<$<CXX_COMPILER_ID:GNU>:-fno-split-loops>)  # 15 kB
  if(NOT BNN_DOTPROD)
    set(BNN_DOTPROD -march=armv8.2-a+dotprod)
  endif()
  bnn_core_sources(bconv2d/arm_neon_dot.cc FLAGS ${BNN_IN_ORDER} ${BNN_DOTPROD})
endif()
