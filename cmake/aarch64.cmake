# Toolchain file of the preset aarch64: Debian's cross compiler against a sysroot made by tools/make-aarch64-sysroot.sh.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

set(LATHE_SYSROOT "${CMAKE_CURRENT_LIST_DIR}/../build/sysroot-aarch64" CACHE PATH "Made by tools/make-aarch64-sysroot.sh")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES LATHE_SYSROOT)
if(NOT EXISTS "${LATHE_SYSROOT}/.complete")
  message(FATAL_ERROR "There is no finished sysroot in '${LATHE_SYSROOT}': run tools/make-aarch64-sysroot.sh, or set LATHE_SYSROOT to where one is.")
endif()
get_filename_component(CMAKE_SYSROOT "${LATHE_SYSROOT}" REALPATH)

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)  # compilers of protocols run here
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${CMAKE_SYSROOT}")
set(ENV{PKG_CONFIG_LIBDIR} "${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig")
set(CMAKE_CROSSCOMPILING_EMULATOR "qemu-aarch64-static;-L;${CMAKE_SYSROOT}")
