# Every dependency is a Debian package; see tools/install-dependencies.sh for the list.
find_package(Threads REQUIRED)
find_package(fmt CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto SSL)
# Protobuf before gRPC, and as a module: Debian ships no CMake package of protobuf's own.
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(muparser REQUIRED IMPORTED_TARGET muparser)
if(LATHE_AGENT_ONLY)
  return()
endif()

# The tuner's: log, cost model, recorded spaces.
find_package(SQLite3 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Eigen3 CONFIG REQUIRED)
# Debian's xgboost CMake package needs the command-line program too, so the library is found by hand.
find_path(XGBOOST_INCLUDE_DIR xgboost/c_api.h REQUIRED)
find_library(XGBOOST_LIBRARY xgboost REQUIRED)
add_library(lathe_xgboost INTERFACE)
target_include_directories(lathe_xgboost SYSTEM INTERFACE ${XGBOOST_INCLUDE_DIR})
target_link_libraries(lathe_xgboost INTERFACE ${XGBOOST_LIBRARY})
