# cmake -D FOLDER=CHECKOUT [-D HEADER=FILE] -P sources.cmake: writes FILE with BNN_SOURCES, the revision of what bnn-board
# and bnn_deploy._native are built from, when that has changed; without HEADER prints it. Without a git checkout it is nullptr.
set(BUILT_FROM CMakeLists.txt cmake native)
set(sources "nullptr")
execute_process(COMMAND git -C "${FOLDER}" log -1 --abbrev=12 --format=%h -- ${BUILT_FROM}
                OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(NOT failed AND revision)
  execute_process(COMMAND git -C "${FOLDER}" status --porcelain -- ${BUILT_FROM}
                  OUTPUT_VARIABLE changes ERROR_QUIET)
  if(changes)
    string(APPEND revision "-dirty")
  endif()
  set(sources "\"${revision}\"")
endif()
if(HEADER)
  file(CONFIGURE OUTPUT "${HEADER}" CONTENT "#define BNN_SOURCES ${sources}\n")
else()
  message("${sources}")
endif()
