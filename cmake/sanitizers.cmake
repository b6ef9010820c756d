# Sanitized copies of our libraries inside an ordinary build. A whole tree under sanitizers (presets asan and tsan, tools/sanitize.sh) is too
# much for every run of CI; this builds the few libraries that a test needs once more, and links the others as they are.

# lathe_sanitized_library(LIBRARY SANITIZER SANITIZED): makes LIBRARY_SANITIZER, which links copies of those of SANITIZED that LIBRARY links.
function(lathe_sanitized_library library sanitizer sanitized)
  string(REPLACE "," "_" suffix ${sanitizer})
  set(copy ${library}_${suffix})
  if(TARGET ${copy})
    return()
  endif()
  get_target_property(sources ${library} SOURCES)
  get_target_property(folder ${library} SOURCE_DIR)
  set(absolute)
  foreach(source ${sources})
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${folder})
    list(APPEND absolute ${source})
    foreach(property COMPILE_DEFINITIONS COMPILE_OPTIONS)  # those of single files do not leave their folder by themselves
      get_source_file_property(value ${source} TARGET_DIRECTORY ${library} ${property})
      if(value)
        set_source_files_properties(${source} PROPERTIES ${property} "${value}")
      endif()
    endforeach()
  endforeach()
  add_library(${copy} STATIC EXCLUDE_FROM_ALL ${absolute})
  get_target_property(linked ${library} INTERFACE_LINK_LIBRARIES)
  foreach(each ${linked})
    if(each IN_LIST sanitized)
      lathe_sanitized_library(${each} ${sanitizer} "${sanitized}")
      set(each ${each}_${suffix})
    endif()
    if(NOT each MATCHES "LINK_ONLY")  # private libraries: whoever needs them links them to the copy
      target_link_libraries(${copy} PUBLIC ${each})
    endif()
  endforeach()
  target_link_libraries(${copy} PRIVATE lathe_options)
  target_include_directories(${copy} PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src)
  lathe_sanitize(${copy} ${sanitizer})
endfunction()

function(lathe_sanitize target sanitizer)
  # GCC 12 takes what sanitizers add for uses of uninitialised memory (its bug 105562).
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_compile_options(${target} PRIVATE -fsanitize=${sanitizer} -fno-omit-frame-pointer -fno-sanitize-recover=all -Og)
  target_link_options(${target} PRIVATE -fsanitize=${sanitizer})
endfunction()

# lathe_sanitized_test(NAME SANITIZER … SOURCES … SANITIZED … [LIBRARIES …] [TIMEOUT seconds]): a test, and the libraries SANITIZED under it, with
# a sanitizer in them; LIBRARIES as they are. A library between two that are named must be named, too. Cases are called SANITIZER:CASE.
# An ordinary test where the whole tree has a sanitizer.
function(lathe_sanitized_test name)
  cmake_parse_arguments(ARG "" "SANITIZER;TIMEOUT" "SOURCES;SANITIZED;LIBRARIES" ${ARGN})
  if(LATHE_SANITIZE)
    lathe_test(${name} SOURCES ${ARG_SOURCES} LIBRARIES ${ARG_SANITIZED} ${ARG_LIBRARIES} TIMEOUT ${ARG_TIMEOUT})
    return()
  endif()
  string(REPLACE "," "_" suffix ${ARG_SANITIZER})
  set(copies)
  foreach(library ${ARG_SANITIZED})
    lathe_sanitized_library(${library} ${ARG_SANITIZER} "${ARG_SANITIZED}")
    list(APPEND copies ${library}_${suffix})
  endforeach()
  lathe_test(${name} SOURCES ${ARG_SOURCES} LIBRARIES ${copies} ${ARG_LIBRARIES} TIMEOUT ${ARG_TIMEOUT} PREFIX "${ARG_SANITIZER}:" LABELS sanitizer)
  lathe_sanitize(${name} ${ARG_SANITIZER})
endfunction()
