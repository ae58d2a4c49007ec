# How the folders are built: one static library vrun_<folder> each; the *_child.cpp files also go
# into vrun-stage, the freestanding program that runs between clone and exec.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

add_library(vrun_flags INTERFACE)
target_include_directories(vrun_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
target_compile_definitions(vrun_flags INTERFACE _GNU_SOURCE VRUN_VERSION="${PROJECT_VERSION}")
target_compile_options(vrun_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Werror
  $<$<COMPILE_LANGUAGE:CXX>:-Wshadow -Wold-style-cast -Wnon-virtual-dtor>
  # GCC 12 sees frees of what was never allocated in moved-from optionals (GCC bug 108088), and overlapping copies in "text" + std::string (GCC bug 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict -Wno-free-nonheap-object>
  -fstack-protector-strong -fPIE)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(vrun_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -ffunction-sections -fdata-sections)
  target_link_options(vrun_flags INTERFACE -Wl,--gc-sections)
endif()
if(VRUN_SANITIZE)
  target_compile_options(vrun_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(vrun_flags INTERFACE -fsanitize=address,undefined)
endif()
if(VRUN_FUZZERS)
  target_compile_options(vrun_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  target_link_options(vrun_flags INTERFACE -fsanitize=address,undefined)
endif()
if(VRUN_FAULT_INJECTION)
  target_compile_definitions(vrun_flags INTERFACE VRUN_FAULT_INJECTION=1)
endif()
# Relocations packed (DT_RELR, glibc 2.36): a start reads one page of them, not twenty.
target_link_options(vrun_flags INTERFACE -Wl,-z,relro,-z,now,-z,pack-relative-relocs)

set_property(GLOBAL PROPERTY VRUN_CHILD_SOURCES "")

# vrun_folder(base SOURCES a.cpp ... [CHILD a_child.cpp ...] [USES oci steps ...] [LIBRARIES cap ...])
function(vrun_folder name)
  cmake_parse_arguments(ARG "" "" "SOURCES;CHILD;USES;LIBRARIES" ${ARGN})
  add_library(vrun_${name} STATIC ${ARG_SOURCES} ${ARG_CHILD})
  target_link_libraries(vrun_${name} PUBLIC vrun_flags)
  foreach(used ${ARG_USES})
    target_link_libraries(vrun_${name} PUBLIC vrun_${used})
  endforeach()
  target_link_libraries(vrun_${name} PUBLIC ${ARG_LIBRARIES})
  # Exceptions stay in the files that call libraries which throw; those set -fexceptions themselves.
  target_compile_options(vrun_${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions>)
  foreach(source ${ARG_CHILD})
    set_property(GLOBAL APPEND PROPERTY VRUN_CHILD_SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/${source})
  endforeach()
endfunction()

# A program on the hot path: static-pie, no shared library.
function(vrun_static_program name)
  if(NOT VRUN_SANITIZE AND NOT VRUN_FUZZERS)
    target_link_options(${name} PRIVATE -static-pie)
    set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  endif()
endfunction()

# vrun_unit_test(cgroups SOURCES a_test.cpp ...): links just that folder and those below it.
function(vrun_unit_test folder)
  cmake_parse_arguments(ARG "" "" "SOURCES" ${ARGN})
  add_executable(unit_${folder} ${ARG_SOURCES})
  target_link_libraries(unit_${folder} PRIVATE vrun_${folder} gmock gtest gtest_main Threads::Threads)
  add_test(NAME unit_${folder} COMMAND unit_${folder})
endfunction()

# Adds a folder once it has something to build.
macro(vrun_add name)
  if(EXISTS ${PROJECT_SOURCE_DIR}/${name}/CMakeLists.txt)
    add_subdirectory(${name})
  endif()
endmacro()
