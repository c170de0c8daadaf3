// A network at the level llvm: y = x + w[0]; its weights have been placed.
module attributes {gatecc.level = "llvm", gatecc.name = "add", gatecc.source_hash = "abcd",
  gatecc.program = {
    inputs = [{name = "x", type = tensor<?xf32>, dims = ["B"]}],
    outputs = [{name = "y=1", type = tensor<?xf32>, dims = ["B"]}]}} {
  gate.weight @w : tensor<4xf32> {value = dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>, gate.offset = 64 : i64}
  gate.site @s0 {name = "moe", kind = "experts", cost = array<f64: 1.0, 1.0>, full_cost = 2.0 : f64, nodes = ["moe"], note = ""}
  llvm.func @gatecc_run(%frame: !llvm.ptr) -> i32 {
    %c0 = llvm.mlir.constant(0 : i64) : i64
    %c1 = llvm.mlir.constant(1 : i64) : i64
    %wp = llvm.getelementptr %frame[8] : (!llvm.ptr) -> !llvm.ptr, i8
    %w0 = llvm.load %wp : !llvm.ptr -> !llvm.ptr
    %w = llvm.getelementptr %w0[64] : (!llvm.ptr) -> !llvm.ptr, i8
    %sp = llvm.getelementptr %frame[24] : (!llvm.ptr) -> !llvm.ptr, i8
    %s = llvm.load %sp : !llvm.ptr -> !llvm.ptr
    %n = llvm.load %s : !llvm.ptr -> i64
    %ip = llvm.getelementptr %frame[32] : (!llvm.ptr) -> !llvm.ptr, i8
    %i0 = llvm.load %ip : !llvm.ptr -> !llvm.ptr
    %x = llvm.load %i0 : !llvm.ptr -> !llvm.ptr
    %op = llvm.getelementptr %frame[40] : (!llvm.ptr) -> !llvm.ptr, i8
    %o0 = llvm.load %op : !llvm.ptr -> !llvm.ptr
    %y = llvm.load %o0 : !llvm.ptr -> !llvm.ptr
    %wv = llvm.load %w : !llvm.ptr -> f32
    llvm.br ^loop(%c0 : i64)
  ^loop(%i: i64):
    %more = llvm.icmp "slt" %i, %n : i64
    llvm.cond_br %more, ^body, ^done
  ^body:
    %xp = llvm.getelementptr %x[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %v = llvm.load %xp : !llvm.ptr -> f32
    %r = llvm.fadd %v, %wv : f32
    %yp = llvm.getelementptr %y[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    llvm.store %r, %yp : f32, !llvm.ptr
    %next = llvm.add %i, %c1 : i64
    llvm.br ^loop(%next : i64)
  ^done:
    %ok = llvm.mlir.constant(0 : i32) : i32
    llvm.return %ok : i32
  }
  llvm.func @gatecc_arena_bytes(%symbols: !llvm.ptr) -> i64 {
    %c = llvm.mlir.constant(128 : i64) : i64
    llvm.return %c : i64
  }
}
