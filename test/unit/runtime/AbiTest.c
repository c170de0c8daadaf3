// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The public header is C: this file compiles as C99, and pins the layout that
// other languages (Python's ctypes) rely on.

#include "gatecc/runtime.h"

#define CHECK(NAME, CONDITION) typedef char check_##NAME[(CONDITION) ? 1 : -1]

CHECK(dltensor, sizeof(DLTensor) == 48 && offsetof(DLTensor, ndim) == 16 &&
                    offsetof(DLTensor, shape) == 24 &&
                    offsetof(DLTensor, byte_offset) == 40);
CHECK(named, sizeof(gatecc_named_tensor) == 56);
CHECK(dim, sizeof(gatecc_dim) == 16);
CHECK(tensor_info, sizeof(gatecc_tensor_info) == 24 &&
                       offsetof(gatecc_tensor_info, shape) == 16);
CHECK(site, sizeof(gatecc_site_info) == 24);
CHECK(options, offsetof(gatecc_options, pool) == 8 &&
                   offsetof(gatecc_options, allocator) == 24 &&
                   offsetof(gatecc_options, weights_path) == 48 &&
                   sizeof(gatecc_options) == 80);
CHECK(library, offsetof(gatecc_library, weight_bytes) == 32 &&
                   offsetof(gatecc_library, num_inputs) == 48 &&
                   offsetof(gatecc_library, inputs) == 72 &&
                   offsetof(gatecc_library, supported) == 112 &&
                   sizeof(gatecc_library) == 184);

// So that the file is not empty.
size_t gatecc_test_library_bytes(void) { return sizeof(gatecc_library); }
