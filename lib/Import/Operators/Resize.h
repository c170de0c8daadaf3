// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Resize and Upsample, for the table of operators.
#ifndef GATECC_LIB_IMPORT_OPERATORS_RESIZE_H
#define GATECC_LIB_IMPORT_OPERATORS_RESIZE_H

#include "gatecc/Import/Operators.h"

namespace gatecc {

OperatorResults lowerResize(GraphBuilder &builder, const OperatorCall &call);

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_OPERATORS_RESIZE_H
