# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The ways gatecc's libraries, tools and dialects are built: one function per kind of target.

separate_arguments(GATECC_LLVM_DEFINITIONS NATIVE_COMMAND "${LLVM_DEFINITIONS}")
option(GATECC_PCH "Build with one shared precompiled header" ON)
option(GATECC_ASSERTIONS "Keep assert() in gatecc's own code" ON)
set(GATECC_SANITIZE "" CACHE STRING "address (with undefined), thread, or empty")

function(gatecc_compile_settings target)
  target_include_directories(${target} SYSTEM PUBLIC ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS} ${LLD_INCLUDE_DIRS})
  target_include_directories(${target} PUBLIC
    "${CMAKE_SOURCE_DIR}" "${CMAKE_BINARY_DIR}"
    "${CMAKE_SOURCE_DIR}/include" "${CMAKE_BINARY_DIR}/include")
  target_compile_definitions(${target} PUBLIC ${GATECC_LLVM_DEFINITIONS})
  # LLVM here has RTTI on and exceptions off; a file that needs exceptions
  # sets -fexceptions on itself.
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wno-unused-parameter)
  if(NOT ARG_EXCEPTIONS)
    target_compile_options(${target} PRIVATE -fno-exceptions)
  endif()
  if(GATECC_ASSERTIONS)
    target_compile_options(${target} PRIVATE -UNDEBUG)
  endif()
  if(GATECC_SANITIZE STREQUAL "address")
    target_compile_options(${target} PRIVATE -fsanitize=address,undefined -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=address,undefined)
  elseif(GATECC_SANITIZE STREQUAL "thread")
    target_compile_options(${target} PRIVATE -fsanitize=thread)
    target_link_options(${target} PUBLIC -fsanitize=thread)
  endif()
  # Distributions ship MLIR and LLVM as one shared library each. A component
  # library beside them would be a second copy and break MLIR's TypeIDs.
  target_link_libraries(${target} PUBLIC MLIR LLVM)
  if(GATECC_PCH AND NOT ARG_EXCEPTIONS)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
      # Lets ccache hit although the precompiled header is rebuilt.
      target_compile_options(${target} PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
    endif()
    if(NOT target STREQUAL "GateccPCH")
      target_precompile_headers(${target} REUSE_FROM GateccPCH)
    endif()
  endif()
endfunction()

# gatecc_add_library(NAME source... [LINK library...] [DEPENDS target...] [EXCEPTIONS])
# EXCEPTIONS also turns the precompiled header off, which is built without.
function(gatecc_add_library name)
  cmake_parse_arguments(ARG "EXCEPTIONS" "" "LINK;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  gatecc_compile_settings(${name})
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
endfunction()

# gatecc_add_tool(NAME source... [LINK library...])
function(gatecc_add_tool name)
  cmake_parse_arguments(ARG "EXCEPTIONS" "" "LINK" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  gatecc_compile_settings(${name})
  target_link_libraries(${name} PRIVATE ${ARG_LINK})
endfunction()

# gatecc_tablegen(TARGET file.td out1 gen-args1 [out2 gen-args2 ...] [-- extra])
# Each output is one .inc file beside the .td in the build tree.
function(gatecc_tablegen target td)
  set(LLVM_TARGET_DEFINITIONS ${td})
  set(rest ${ARGN})
  set(TABLEGEN_OUTPUT)
  while(rest)
    list(POP_FRONT rest out args)
    separate_arguments(args)
    mlir_tablegen(${out} ${args} EXTRA_INCLUDES "${CMAKE_SOURCE_DIR}" ${MLIR_INCLUDE_DIRS})
  endwhile()
  add_public_tablegen_target(${target})
endfunction()

if(GATECC_PCH)
  file(WRITE "${CMAKE_BINARY_DIR}/GateccPCH.cpp" "")
  add_library(GateccPCH STATIC "${CMAKE_BINARY_DIR}/GateccPCH.cpp")
  set(ARG_EXCEPTIONS OFF)
  gatecc_compile_settings(GateccPCH)
  target_precompile_headers(GateccPCH PRIVATE "${CMAKE_SOURCE_DIR}/cmake/GateccPCH.h")
endif()
