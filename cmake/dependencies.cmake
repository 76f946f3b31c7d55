# Every library that fanin stands on, found once. scripts/install-deps.sh lists the packages.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(ZLIB REQUIRED)
find_package(LibLZMA REQUIRED)
find_package(PNG REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(MINIZIP REQUIRED IMPORTED_TARGET minizip)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)

# oneDNN by hand: its CMake package asks for OpenCL headers that the CPU library does not need.
find_path(DNNL_INCLUDE_DIR dnnl.h REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(fanin-dnnl INTERFACE IMPORTED)
target_include_directories(fanin-dnnl INTERFACE ${DNNL_INCLUDE_DIR})
target_link_libraries(fanin-dnnl INTERFACE ${DNNL_LIBRARY})

set(FANIN_NET_DEPENDENCIES fanin-dnnl OpenMP::OpenMP_C PkgConfig::PROTOBUF_C PkgConfig::YAML
  PkgConfig::MINIZIP PkgConfig::SQLITE ZLIB::ZLIB LibLZMA::LibLZMA PNG::PNG ${CMAKE_DL_LIBS})
set(FANIN_CLI_DEPENDENCIES PkgConfig::JANSSON)

# onnx.proto, as installed, turned into C at build time.
find_program(PROTOC_C protoc-c REQUIRED)
if(NOT FANIN_ONNX_PROTO)
  find_file(ONNX_PROTO_FOUND onnx/onnx.proto REQUIRED PATHS /usr/include /usr/local/include)
  set(FANIN_ONNX_PROTO ${ONNX_PROTO_FOUND})
endif()
get_filename_component(ONNX_PROTO_DIR ${FANIN_ONNX_PROTO} DIRECTORY)
set(FANIN_PROTO_DIR ${CMAKE_BINARY_DIR}/proto)
file(MAKE_DIRECTORY ${FANIN_PROTO_DIR})
add_custom_command(OUTPUT ${FANIN_PROTO_DIR}/onnx.pb-c.c ${FANIN_PROTO_DIR}/onnx.pb-c.h
  COMMAND ${PROTOC_C} -I${ONNX_PROTO_DIR} --c_out=${FANIN_PROTO_DIR} onnx.proto
  DEPENDS ${FANIN_ONNX_PROTO} VERBATIM)
set(FANIN_PROTO_SOURCES ${FANIN_PROTO_DIR}/onnx.pb-c.c)
add_custom_target(onnx-proto DEPENDS ${FANIN_PROTO_SOURCES})
