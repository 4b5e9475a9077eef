# Linking a library so that it runs on glibc 2.17 and later, whatever glibc this system has. What that takes is in
# native/doors/old_glibc.cc; that it is enough is checked where wheels get their tags (scripts/wheels).
include(CheckCXXSymbolExists)
check_cxx_symbol_exists(__GLIBC__ features.h BNN_GLIBC)

function(bnn_link_for_old_glibc target)
  if(BNN_GLIBC)
    target_sources(${target} PRIVATE native/doors/old_glibc.cc)
    target_link_options(${target} PRIVATE -Wl,--wrap=pthread_create -Wl,--wrap=pthread_join)
    # Where threads were before 2.34; later ones have an empty library of that name.
    target_link_libraries(${target} PRIVATE -Wl,--push-state,--no-as-needed,-l:libpthread.so.0,--pop-state)
  endif()
endfunction()
