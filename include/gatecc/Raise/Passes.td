// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Passes that find conditional work in plain graphs.
#ifndef GATECC_RAISE_PASSES
#define GATECC_RAISE_PASSES

include "mlir/Pass/PassBase.td"

def FoldConstants : Pass<"fold-constants", "::mlir::ModuleOp"> {
  let summary = "Computes elementwise ops on constants";
  let description = [{
    What is made from constants, element by element, is a constant: weights in
    another type, the roots of the variances of a normalization. Large ones are
    left to the run.
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::arith::ArithDialect"];
}

def FormGroups : Pass<"form-groups", "::mlir::ModuleOp"> {
  let summary = "Turns work that only some rows need into groups of a partition";
  let description = [{
    Work whose result is needed under a condition per row only (see
    gatecc/Raise/Demand.h) moves into a `gate.apply` on the rows that need it;
    deeper conditions become partitions inside it. Each exit network and each
    skipped layer gets one `gate.site`. The module attribute `gatecc.report`
    lists every candidate, taken or refused, with the reason.
  }];
  let options = [Option<"minCost", "min-cost", "int64_t", "4096",
    "operations per row that are worth a plan when there is no product among them">];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect"];
}

def FormExperts : Pass<"form-experts", "::mlir::ModuleOp"> {
  let summary = "Turns products with weights that ids choose into experts";
  let description = [{
    A product whose weights are gathered from a constant stack by an id for each
    slot is work of the group that the id names; so is what is done with the
    rows that a mask of that id selects, or that a sort by ids brings together.
    Such work up to the sum over the choices of a row becomes `gate.assign`,
    `gate.apply` on the rows of tokens, and `gate.combine`: the stack is read in
    place, once for each group that has slots. A stack of vectors, the rows of a
    table, is one if a row's own vector is multiplied with them. The sum may be a
    product with the weights of the choices, any tree of sums and scatters, or, where a row has one choice, of rows that are written over
    others. Where no such sum follows (results that stay apart, rows that meet
    between two products), each slot is a row of a plan of its own; so it is
    where the results of all experts are computed and one is read by an id for
    each row. The module attribute `gatecc.report` lists each decision, taken or
    refused, with the reason.
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect"];
}

def FormDenseExperts : Pass<"form-dense-experts", "::mlir::ModuleOp"> {
  let summary = "Turns experts that all rows run into experts that rows choose";
  let description = [{
    A sum over experts of work that is weighted by a matrix [T, E] becomes
    `gate.assign`, `gate.apply` and `gate.combine` if a top-k (or a search for
    the largest element, or ids that were looked up) is behind the weights, and
    work of weight zero adds zero. That weights beside the chosen ones are zero
    is proved by evaluating them, or tested for each row. That work times zero
    is zero holds for inputs up to a bound that follows from the weights; rows
    beyond it, NaN included, are a group of their own and run all experts, one after another. Where no
    choice is behind the weights but something sets them to zero (a ReLU, a
    mask), a row runs the experts whose weights are not zero. Weights may be
    those of a sequence of rows. They may be a factor of the experts' results or
    stand anywhere in their work, if that is then zero. The module attribute
    `gatecc.report` lists each one, taken or refused, with the reason.
  }];
  let options = [Option<"assumeFinite", "assume-finite", "bool", "false",
    "no value is NaN or infinite">];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect",
    "::mlir::math::MathDialect", "::mlir::scf::SCFDialect"];
}

def FormCapacityExperts : Pass<"form-capacity-experts", "::mlir::ModuleOp"> {
  let summary = "Turns experts that masks or slots fill with a number of rows into experts that rows choose";
  let description = [{
    Experts with room for C rows each get them by a product with a mask
    [T, E, C], and give them back by a product with another one. If the masks
    differ from zero only where an expert and a place are those that two numbers
    of a token name (positions that a running sum gives, say), these numbers and
    the masks' elements there make `gate.assign`, `gate.apply` and
    `gate.combine`: rows that found no room have a weight of zero and are not
    worked on. Tokens may be in groups that have places of their own, masks
    [G, S, E, C]: the plan is one for all of them. With room for one row the
    dimension of places may be missing.

    Or rows are scattered to slots of a buffer [E * C, D], expert * C + place,
    and gathered from there: rows without room go to rows after the places, which
    are zeros when they are read, or to any place, multiplied with zero. The slot
    of a row, and what it is multiplied with, make the plan.

    Or experts choose: each takes the C tokens that score best for it, and its
    results are scattered to where they came from. Each row that was chosen is
    then a row of the plan, in the order in which they lie; there is nothing to
    test.

    How a graph comes to places or slots is not looked at: that each is
    filled once is tested, as is that the numbers are so small that work of
    weight zero adds zero. A batch that fails a test is multiplied with the
    masks, or scattered. The module attribute `gatecc.report` lists each one,
    taken or refused, with the reason.
  }];
  let options = [Option<"assumeFinite", "assume-finite", "bool", "false",
    "no value is NaN or infinite">];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect",
    "::mlir::math::MathDialect", "::mlir::scf::SCFDialect"];
}

def FormRoutes : Pass<"form-routes", "::mlir::ModuleOp"> {
  let summary = "Names the router of each site, and makes it one op";
  let description = [{
    A router whose top-k decides and whose weights are its scores, normalised and
    scaled, is one `gate.route` in place of `gate.assign` on what a top-k, a
    gather, a sum and a division have made. The choice is made on the same
    scores, so that it is the same choice whatever rounding did to them, and a
    sum of 0 divides as it did in the network.

    The module attribute `gatecc.report` says the form for each site, fused or
    not:

      R1  scores = softmax over all experts; the k best, normalised or not
      R2  the k best logits; softmax over the chosen
      R3  scores = sigmoid (or softmax), plus a bias for the choice, or sigmoid
          of the chosen; weighed by scores without the bias
      R4  R3 in the best groups of experts only
      R5  the same, weighed by the masked scores themselves
      R6  one choice after another, each by a maximum of its own
      R7  weights times a scale for each expert
      other
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::tensor::TensorDialect"];
}

def FormSelections : Pass<"form-selections", "::mlir::ModuleOp"> {
  let summary = "Turns work on rows that an index selects into groups of a partition";
  let description = [{
    Rows are selected by `gate.nonzero` of a mask or by `gate.topk` of scores,
    gathered, worked on one by one, and scattered or added back to the rows that
    they came from. The mask, or the columns that were chosen, becomes the
    predicate of a `gate.partition`, the work a `gate.apply` on the rows of the
    tensors that were gathered from, and the scatter a `gate.merge`. Rows that
    are selected from selected rows become a partition inside. Indices are
    followed through views, casts, sorts, concatenations of coordinates, and
    gathers from other indices; that they do not repeat is proved by what
    enumerates them, and anything else stays as it is. A mask of the choices of
    rows ([rows, k], of which one is true at most) selects rows, too; a mask that
    is repeated for all elements of a row is one of rows. The module attribute
    `gatecc.report` lists every candidate that holds a product, taken or
    refused, with the reason.
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect"];
}

def SelectWeighted : Pass<"select-weighted", "::mlir::ModuleOp"> {
  let summary = "Turns products with a weight that is zero for some rows into selections";
  let description = [{
    `x + w * f(x)`, with one number w for each row that something makes zero on
    purpose (a condition as a number, a cut-off, a product with such a number),
    needs `f` where w is not 0, or where f(x) might not be finite, since 0 times
    that is NaN. The product becomes a selection of `w * f(x)` or 0 by that
    condition, which form-skips and form-groups take up. That f(x) is finite is
    proved for x up to a bound that follows from the weights of f, and tested for
    each row. With `assume-finite` it is taken for granted. Where there is no
    such bound the module attribute `gatecc.report` says so.
  }];
  let options = [Option<"assumeFinite", "assume-finite", "bool", "false",
    "no value is NaN or infinite">];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect",
    "::mlir::math::MathDialect"];
}

def FormSkips : Pass<"form-skips", "::mlir::ModuleOp"> {
  let summary = "Turns work on blocks that few rows need into groups of a partition";
  let description = [{
    A branch of a selection by a condition for each row of a tensor [B, S, D]
    may work on [B * S, D]. What nothing but the branch needs, and keeps the
    blocks of the rows apart, becomes a `gate.apply` on the rows that take the
    branch; the others get the other branch's value by a `gate.merge`.
    Where both branches are work, each becomes a group. Selections inside of the
    work become groups inside. form-groups does the same for work whose rows are
    those of the condition.
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect"];
}

def FormWhileRows : Pass<"form-while-rows", "::mlir::ModuleOp"> {
  let summary = "Takes rows that a loop does not change any more out of it";
  let description = [{
    A loop is a candidate if it carries tensors with a row for each row of the
    batch, of which one is kept by a selection in rows that do not run. If each
    row of what it carries depends on the same row and on nothing that changes
    from iteration to iteration, a row that one iteration leaves as it was, bit
    for bit, is left so by all others. Such rows are taken out: the work of
    an iteration becomes a `gate.apply` on the rows that changed in the last
    one. The module attribute `gatecc.report` lists every candidate.
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect"];
}

def TestPrintDemand : Pass<"test-print-demand", "::mlir::func::FuncOp"> {
  let summary = "Prints under which conditions each op is needed (for tests)";
}

#endif // GATECC_RAISE_PASSES
