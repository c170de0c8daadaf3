// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The order in which the nodes of a graph can be imported.
#ifndef GATECC_LIB_IMPORT_ONNX_GRAPHORDER_H
#define GATECC_LIB_IMPORT_ONNX_GRAPHORDER_H

#include "lib/Import/Onnx/Model.h"
#include "llvm/ADT/ArrayRef.h"

namespace gatecc {

/// "node 'name' (Op)", or the first output for a node without a name.
std::string describeNode(const proto::Node &node);

/// Indices of the nodes such that each comes after those that make its inputs
/// and what its bodies use; the file's order wherever that is one. On failure
/// `error` names the nodes of a cycle, or the value that two nodes make.
std::optional<std::vector<unsigned>>
orderNodes(llvm::ArrayRef<proto::Node> nodes, std::string &error);

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_ONNX_GRAPHORDER_H
