# The libraries of others, all from the distribution.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv>=1.44)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto>=3.0)
pkg_check_modules(SSL REQUIRED IMPORTED_TARGET libssl>=3.0)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(LMDB REQUIRED IMPORTED_TARGET lmdb)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.88)
pkg_check_modules(LIBTORRENT REQUIRED IMPORTED_TARGET libtorrent-rasterbar>=2.0)
pkg_check_modules(LIBARCHIVE REQUIRED IMPORTED_TARGET libarchive)
if(BUILD_TESTING)
  pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
  pkg_check_modules(LIBJWT REQUIRED IMPORTED_TARGET libjwt)
endif()

# llhttp in strict mode: the distribution's library where there is one, else the sources that the
# package node-llhttp installs (Debian 12), built here with our flags for hardening and sanitizers
# but not our warnings.
pkg_check_modules(LLHTTP IMPORTED_TARGET libllhttp)
if(LLHTTP_FOUND)
  add_library(llhttp INTERFACE)
  target_link_libraries(llhttp INTERFACE PkgConfig::LLHTTP)
else()
  set(LLHTTP_ROOT /usr/share CACHE PATH "holds llhttp/*.c and include/llhttp/llhttp.h")
  add_library(llhttp STATIC
    ${LLHTTP_ROOT}/llhttp/api.c ${LLHTTP_ROOT}/llhttp/http.c ${LLHTTP_ROOT}/llhttp/llhttp.c)
  target_include_directories(llhttp SYSTEM PUBLIC ${LLHTTP_ROOT}/include/llhttp)
  target_compile_definitions(llhttp PRIVATE LLHTTP_STRICT_MODE=1)
  # A jump through a table for every byte of a URL costs gcc's build a third of its time.
  target_compile_options(llhttp PRIVATE -w -fno-jump-tables)
endif()
