// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The levels and the pipelines between them.
#include "gatecc/Pipelines/Pipelines.h"

#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Import/Json.h"
#include "gatecc/Import/Onnx.h"
#include "gatecc/Import/Operators.h"
#include "gatecc/Import/Passes.h"
#include "gatecc/InitAll.h"
#include "gatecc/Lowering/Passes.h"
#include "gatecc/Pipelines/Stages.h"
#include "gatecc/Raise/Passes.h"
#include "gatecc/Target/Cpu.h"
#include "gatecc/Target/Tiles.h"
#include "gatecc/Transforms/Passes.h"

#include "mlir/Conversion/ReconcileUnrealizedCasts/ReconcileUnrealizedCasts.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace gatecc;

static const StringRef kLevels[] = {"import", "gate", "schedule", "kernel",
                                    "llvm",   "obj",  "library"};
static const StringRef kDisablable[] = {"form-capacity-experts",
                                        "form-dense-experts",
                                        "form-experts",
                                        "form-groups",
                                        "form-routes",
                                        "form-selections",
                                        "form-skips",
                                        "form-while-rows",
                                        "fuse-elementwise",
                                        "fuse-epilogue",
                                        "pad-rows",
                                        "select-weighted"};

StringRef gatecc::levelName(Level level) { return kLevels[unsigned(level)]; }

std::optional<Level> gatecc::parseLevel(StringRef name) {
  for (auto [index, known] : llvm::enumerate(kLevels))
    if (name == known)
      return Level(index);
  return std::nullopt;
}

ArrayRef<StringRef> gatecc::disablablePasses() { return kDisablable; }

ArrayRef<StringRef> gatecc::raisingPasses() {
  // The others change how a graph is computed, not what of it.
  static const auto raising = llvm::filter_to_vector(
      kDisablable, [](StringRef name) { return !name.starts_with("fuse-"); });
  return raising;
}

static void addCleanup(OpPassManager &pm) {
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

LogicalResult gatecc::importModel(MLIRContext &context, StringRef path,
                                  OwningOpRef<ModuleOp> &module) {
  module = path.ends_with(".json") ? importJson(context, path)
                                   : importOnnx(context, path);
  return success(bool(module));
}

void gatecc::listOperators(llvm::raw_ostream &os) {
  for (const Operator &op : listOperators()) {
    os << (op.domain.empty() ? "ai.onnx" : op.domain) << '.' << op.name << ' '
       << op.minVersion;
    if (op.maxVersion != anyVersion)
      os << '-' << op.maxVersion;
    else
      os << '+';
    if (!op.note.empty())
      os << "  " << op.note;
    os << '\n';
  }
}

static std::string isaOf(const CpuTarget &cpu) {
  if (cpu.vectorBits() >= 512) {
    if (!cpu.has("avx512vnni"))
      return "avx512";
    if (!cpu.has("avx512bf16"))
      return "avx512+vnni";
    return cpu.has("amx-tile") && cpu.has("amx-bf16") ? "avx512+amx"
                                                      : "avx512+bf16";
  }
  // AVX alone has neither FMA nor integers.
  if (cpu.has("avx2") && cpu.has("fma"))
    return cpu.has("avxvnni") ? "avx2+vnni" : "avx2";
  return cpu.has("ssse3") ? "sse" : "sse2";
}

LogicalResult gatecc::runPipeline(ModuleOp module, Level from, Level upTo,
                                  const CompileOptions &options,
                                  const CpuTarget *cpu) {
  StageOptions stage;
  stage.disabled = options.disabled;
  if (cpu)
    stage.isa = isaOf(*cpu);
  stage.experts = options.experts;
  stage.block = options.block;
  stage.zeroPoints = options.zeroPoints;
  stage.assumeFinite = options.assumeFinite;
  stage.checkAccesses = options.checkAccesses;
  if (options.tiesOrtCpu)
    module->setAttr("gatecc.ties",
                    StringAttr::get(module.getContext(), "ort-cpu"));
  PassManager pm(module.getContext());
  pm.enableVerifier(options.verifyEach);
  auto passes = [&](Level level) { return from < level && level <= upTo; };
  if (passes(Level::Gate))
    buildImportToGate(pm, stage);
  if (passes(Level::Schedule))
    buildGateToSchedule(pm, stage);
  if (passes(Level::Kernel))
    buildScheduleToKernel(pm, stage);
  if (passes(Level::Llvm))
    buildKernelToLlvm(pm, stage);
  if (failed(pm.run(module)))
    return failure();
  return options.verifyEach ? success() : verify(module);
}

void gatecc::buildImportToGate(OpPassManager &pm, const StageOptions &options) {
  pm.addPass(createConvertOnnxToGate());
  addCleanup(pm);
  pm.addPass(createFoldConstants());
  if (!options.isDisabled("form-experts"))
    pm.addPass(createFormExperts());
  if (!options.isDisabled("form-dense-experts"))
    pm.addPass(createFormDenseExperts({options.assumeFinite}));
  if (!options.isDisabled("form-capacity-experts"))
    pm.addPass(createFormCapacityExperts({options.assumeFinite}));
  addCleanup(pm);
  if (!options.isDisabled("form-routes"))
    pm.addPass(createFormRoutes());
  addCleanup(pm);
  if (!options.isDisabled("form-selections"))
    pm.addPass(createFormSelections());
  addCleanup(pm);
  if (!options.isDisabled("form-while-rows"))
    pm.addPass(createFormWhileRows());
  if (!options.isDisabled("select-weighted"))
    pm.addPass(createSelectWeighted({options.assumeFinite}));
  if (!options.isDisabled("form-groups"))
    pm.addPass(createFormGroups());
  if (!options.isDisabled("form-skips"))
    pm.addPass(createFormSkips());
  addCleanup(pm);
  pm.addPass(createVerifyLevel({"gate"}));
}

void gatecc::buildGateToSchedule(OpPassManager &pm,
                                 const StageOptions &options) {
  addCleanup(pm);
  if (!options.isDisabled("fuse-elementwise"))
    pm.addNestedPass<func::FuncOp>(createFuseElementwise());
  addCleanup(pm);
  if (!options.isDisabled("fuse-epilogue"))
    pm.addNestedPass<func::FuncOp>(createFuseEpilogue());
  pm.addNestedPass<func::FuncOp>(createInlineApply());
  addCleanup(pm);
  pm.addNestedPass<func::FuncOp>(createWidenRows());
  pm.addPass(createPackWeights(
      {options.isa, options.experts, options.block, options.zeroPoints}));
  pm.addNestedPass<func::FuncOp>(createLowerPlans());
  pm.addNestedPass<func::FuncOp>(createLowerIndexing());
  pm.addNestedPass<func::FuncOp>(createDropEmpty());
  addCleanup(pm);
  pm.addPass(createVerifyLevel({"schedule"}));
}

void gatecc::buildScheduleToKernel(OpPassManager &pm,
                                   const StageOptions &options) {
  pm.addPass(createBuildEntry());
  addCleanup(pm);
  pm.addPass(createPlaceConstants());
  pm.addNestedPass<func::FuncOp>(createCheckCancellation());
  pm.addNestedPass<func::FuncOp>(createUnshareInits());
  pm.addNestedPass<func::FuncOp>(createUnshareSources());
  pm.addNestedPass<func::FuncOp>(createCarryInPlace());
  pm.addNestedPass<func::FuncOp>(createCutAliases());
  pm.addPass(bufferization::createEmptyTensorEliminationPass());
  bufferization::OneShotBufferizePassOptions bufferize;
  // Branches whose buffers differ in layout yield contiguous ones.
  bufferize.unknownTypeConversion =
      bufferization::LayoutMapOption::IdentityLayoutMap;
  pm.addPass(bufferization::createOneShotBufferizePass(bufferize));
  addCleanup(pm);
  if (!options.isDisabled("pad-rows"))
    pm.addNestedPass<func::FuncOp>(createPadRows());
  pm.addPass(createLowerContract({options.isa}));
  pm.addNestedPass<func::FuncOp>(createLowerStructured());
  addCleanup(pm);
  pm.addPass(createPlanMemory());
  addCleanup(pm);
  pm.addPass(createOutlineTasks());
  addCleanup(pm);
  if (options.checkAccesses) {
    pm.addPass(createCheckAccesses());
    addCleanup(pm);
  }
  pm.addPass(createSplitRun());
  pm.addPass(createVerifyLevel({"kernel"}));
}

void gatecc::buildKernelToLlvm(OpPassManager &pm, const StageOptions &options) {
  const TileFacts &facts = getTileFacts(parseIsa(options.isa));
  pm.addPass(createExpandMath({facts.fma}));
  addCleanup(pm);
  pm.addPass(createConvertGateToLLVM({facts.vnni, facts.bf16, facts.amx}));
  addCleanup(pm);
  pm.addPass(createReconcileUnrealizedCastsPass());
  pm.addPass(createVerifyLevel({"llvm"}));
}

namespace {
struct StagePipelineOptions : PassPipelineOptions<StagePipelineOptions> {
  Option<std::string> isa{*this, "isa",
                          llvm::cl::desc("as in gatecc/Target/Tiles.h"),
                          llvm::cl::init("avx2")};
  Option<std::string> experts{*this, "experts",
                              llvm::cl::desc("f32, bf16, int8 or int4"),
                              llvm::cl::init("f32")};
  Option<int64_t> block{*this, "block",
                        llvm::cl::desc("how many k share a scale"),
                        llvm::cl::init(32)};
  Option<bool> zeroPoints{*this, "zero-points",
                          llvm::cl::desc("integers are asymmetric"),
                          llvm::cl::init(false)};
  Option<bool> assumeFinite{*this, "assume-finite",
                            llvm::cl::desc("no value is NaN or infinite"),
                            llvm::cl::init(false)};
};
} // namespace

void gatecc::registerStagePipelines() {
  auto add = [](StringRef name, StringRef description, auto build) {
    // The registry keeps what it is given; the callback is a plain function.
    PassPipelineRegistration<StagePipelineOptions>(
        name, description,
        [build](OpPassManager &pm, const StagePipelineOptions &options) {
          StageOptions stage;
          stage.isa = options.isa;
          stage.experts = options.experts;
          stage.block = options.block;
          stage.zeroPoints = options.zeroPoints;
          stage.assumeFinite = options.assumeFinite;
          build(pm, stage);
        });
  };
  add("import-to-gate", "From the import level to the gate level",
      buildImportToGate);
  add("gate-to-schedule", "From the gate level to the schedule level",
      buildGateToSchedule);
  add("schedule-to-kernel", "From the schedule level to the kernel level",
      buildScheduleToKernel);
  add("kernel-to-llvm", "From the kernel level to the LLVM dialect",
      buildKernelToLlvm);
}
