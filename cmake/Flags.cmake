# What every translation unit of ours is compiled with. Warnings are errors, with gcc and clang.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17) # node/bittorrent.cpp alone
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

set(SWARMGATE_SANITIZE "" CACHE STRING "sanitizers, as -fsanitize= takes them: address,undefined or thread")
option(SWARMGATE_FUZZ "build the fuzz targets with libFuzzer (clang)" OFF)
option(SWARMGATE_COVERAGE "count the lines and branches that run" OFF)

add_library(flags INTERFACE)
target_compile_definitions(flags INTERFACE _GNU_SOURCE SWARMGATE_VERSION="${PROJECT_VERSION}")
target_compile_options(flags INTERFACE
  -Wall -Wextra -Werror -Wconversion -Wsign-conversion -Wshadow -Wpointer-arith -Wcast-qual
  -Wwrite-strings -Wformat=2 -Wundef -Wvla -Wdouble-promotion -Wnull-dereference
  -Wimplicit-fallthrough -fno-omit-frame-pointer -fno-common
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition>)

if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_definitions(flags INTERFACE _FORTIFY_SOURCE=2)
  target_compile_options(flags INTERFACE
    -fstack-protector-strong -fstack-clash-protection -fcf-protection)
  target_link_options(flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
  set(CMAKE_EXE_LINKER_FLAGS "${CMAKE_EXE_LINKER_FLAGS} -pie")
  # The rooms are separate libraries, and their small functions are inlined across them all the same.
  include(CheckIPOSupported)
  check_ipo_supported(RESULT CMAKE_INTERPROCEDURAL_OPTIMIZATION OUTPUT ignored LANGUAGES C CXX)
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set(CMAKE_CXX_LINK_OPTIONS_IPO -flto=auto)
    set(CMAKE_C_LINK_OPTIONS_IPO -flto=auto) # as many at once as there are cores, and no warning
  endif()
endif()

if(SWARMGATE_SANITIZE)
  add_compile_options(-fsanitize=${SWARMGATE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SWARMGATE_SANITIZE})
endif()
if(SWARMGATE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(SWARMGATE_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()
