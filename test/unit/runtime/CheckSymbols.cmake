# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Checks the symbols of gatecc_runtime.bc: undefined ones are in the list of
# runtime/libc_symbols.txt (the compiler links against stubs of exactly these),
# and only gatecc_get_library is visible.
cmake_minimum_required(VERSION 3.25)
find_program(NM NAMES llvm-nm-22 PATHS /usr/lib/llvm-22/bin REQUIRED)
find_program(DIS NAMES llvm-dis-22 PATHS /usr/lib/llvm-22/bin REQUIRED)
file(STRINGS ${CMAKE_CURRENT_LIST_DIR}/../../../runtime/libc_symbols.txt
     allowed REGEX "^[a-z_]")
find_program(LLC NAMES llc-22 PATHS /usr/lib/llvm-22/bin REQUIRED)
get_filename_component(directory ${BITCODE} DIRECTORY)
execute_process(COMMAND ${LLC} -relocation-model=pic -filetype=obj ${BITCODE}
                        -o ${directory}/gatecc_runtime_check.o
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${NM} --undefined-only --just-symbol-name
                        ${directory}/gatecc_runtime_check.o
                OUTPUT_VARIABLE undefined COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" undefined "${undefined}")
set(bad)
foreach(symbol IN LISTS undefined)
  if(NOT symbol IN_LIST allowed AND NOT symbol STREQUAL "gatecc_program")
    list(APPEND bad ${symbol})
  endif()
endforeach()
foreach(symbol IN LISTS allowed)
  # Code generation may call these where the bitcode has an intrinsic.
  if(NOT symbol IN_LIST undefined AND NOT symbol MATCHES "^(mem|bcmp)")
    list(APPEND bad "${symbol}(listed, but not used)")
  endif()
endforeach()
execute_process(COMMAND ${DIS} ${BITCODE} -o - OUTPUT_VARIABLE text
                COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "\ndefine [^\n]*" definitions "${text}")
foreach(definition IN LISTS definitions)
  if(definition MATCHES "^\ndefine (dso_local )?[a-z0-9<>* ]*@" AND
     NOT definition MATCHES "internal |private |hidden |@gatecc_get_library\\(")
    list(APPEND bad "visible:${definition}")
  endif()
endforeach()
foreach(word "target-cpu\"=\"x86-64-v" "__cxa_" "__gxx_personality"
        "thread_local")
  string(FIND "${text}" "${word}" at)
  if(NOT at EQUAL -1)
    list(APPEND bad "text:${word}")
  endif()
endforeach()
if(bad)
  message(FATAL_ERROR "unexpected in the runtime: ${bad}")
endif()
