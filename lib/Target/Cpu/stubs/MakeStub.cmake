# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Makes a shared library without code from a list of symbols and versions:
#   cmake -DLIST=libc.txt -DSONAME=libc.so.6 -DDIR=out -DMC=llvm-mc -DLLD=ld.lld -P MakeStub.cmake
file(STRINGS ${LIST} lines REGEX "^[^#]")
set(assembly ".text\n")
set(versions)
foreach(line IN LISTS lines)
  string(REPLACE " " ";" line "${line}")
  list(GET line 0 symbol)
  list(GET line 1 version)
  string(APPEND assembly ".globl ${symbol}\n.type ${symbol},@function\n${symbol}:\n")
  list(APPEND versions ${version})
  string(APPEND symbols_of_${version} " ${symbol};")
endforeach()
string(APPEND assembly ".section .note.GNU-stack,\"\",@progbits\n")
list(REMOVE_DUPLICATES versions)
set(script)
foreach(version IN LISTS versions)
  string(APPEND script "${version} { global:${symbols_of_${version}} };\n")
endforeach()
file(WRITE ${DIR}/${SONAME}.s "${assembly}")
file(WRITE ${DIR}/${SONAME}.map "${script}")
execute_process(COMMAND ${MC} -filetype=obj -triple=x86_64-linux-gnu
  ${DIR}/${SONAME}.s -o ${DIR}/${SONAME}.o COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${LLD} -shared -soname ${SONAME}
  --version-script=${DIR}/${SONAME}.map ${DIR}/${SONAME}.o -o ${DIR}/${SONAME}
  COMMAND_ERROR_IS_FATAL ANY)
