// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Resolves --mcpu names through LLVM's tables; makes target machines.
#include "gatecc/Target/Cpu.h"

#include "runtime/program.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/Function.h"
#include "llvm/IR/Intrinsics.h"
#include "llvm/IR/IntrinsicsX86.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"
#include "llvm/TargetParser/X86TargetParser.h"

using namespace llvm;
using namespace gatecc;

static const char *const kTriple = "x86_64-unknown-linux-gnu";

namespace {
struct Feature {
  const char *name;
  uint64_t bit;
};
} // namespace

static const Feature kFeatures[] = {
#define GATECC_CPU_ROW(BIT, NAME, TEXT) {TEXT, UINT64_C(1) << BIT},
    GATECC_CPU_FEATURES(GATECC_CPU_ROW)
#undef GATECC_CPU_ROW
};

static const Target *lookupTarget(std::string &error) {
  static const bool registered = [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
    return true;
  }();
  (void)registered;
  return TargetRegistry::lookupTarget(Triple(kTriple), error);
}

bool CpuTarget::has(StringRef feature) const {
  for (const Feature &f : kFeatures)
    if (feature == f.name)
      return required & f.bit;
  return false;
}

unsigned CpuTarget::vectorBits() const {
  if (has("avx512f") && has("avx512vl"))
    return 512;
  return has("avx") ? 256 : 128;
}

/// A machine takes the version with the widest vectors, then the one that uses
/// the most of its features.
static int32_t rankOf(const CpuTarget &cpu) {
  int32_t level = 1;
  if (cpu.has("avx512f") && cpu.has("avx512bw") && cpu.has("avx512dq") &&
      cpu.has("avx512vl"))
    level = 4;
  else if (cpu.has("avx2") && cpu.has("fma"))
    level = 3;
  else if (cpu.has("sse4.2"))
    level = 2;
  return 1000 * level + popcount(cpu.required);
}

/// "+a,-b,...", in the order of the names so that it is reproducible.
static std::string hostFeatures() {
  StringMap<bool> features = sys::getHostCPUFeatures();
  SmallVector<StringRef> names(features.keys());
  llvm::sort(names);
  std::string text;
  for (StringRef name : names)
    text +=
        (Twine(text.empty() ? "" : ",") + (features[name] ? "+" : "-") + name)
            .str();
  return text;
}

std::optional<CpuTarget> gatecc::resolveCpu(StringRef name,
                                            std::string &error) {
  const Target *target = lookupTarget(error);
  if (!target)
    return std::nullopt;
  CpuTarget cpu;
  cpu.name = name.str();
  if (name == "native") {
    cpu.name = sys::getHostCPUName().str();
    cpu.features = hostFeatures();
  }
  Triple triple(kTriple);
  std::unique_ptr<MCSubtargetInfo> info;
  if (X86::parseArchX86(cpu.name, /*Only64Bit=*/true) != X86::CK_None)
    info.reset(target->createMCSubtargetInfo(triple, cpu.name, cpu.features));
  if (!info) {
    error = "unknown CPU '" + name.str() +
            "'; known are native, x86-64, x86-64-v2, x86-64-v3, x86-64-v4, "
            "haswell, skylake, skylake-avx512, icelake-server, "
            "sapphirerapids, znver2, znver3, znver4, znver5 and the other "
            "64-bit CPU names of LLVM";
    return std::nullopt;
  }
  for (const Feature &f : kFeatures)
    if (info->checkFeatures(std::string("+") + f.name))
      cpu.required |= f.bit;
  cpu.rank = rankOf(cpu);
  return cpu;
}

CpuTarget gatecc::baselineCpu() {
  CpuTarget cpu;
  cpu.name = "x86-64";
  return cpu;
}

void gatecc::dropUnusedFeatures(CpuTarget &cpu, const Module &module) {
  if (!module.getFunction(Intrinsic::getName(Intrinsic::x86_ldtilecfg)))
    cpu.required &= ~(GATECC_CPU_AMXTILE | GATECC_CPU_AMXBF16);
}

std::unique_ptr<TargetMachine> gatecc::createMachine(const CpuTarget &cpu,
                                                     std::string &error) {
  const Target *target = lookupTarget(error);
  if (!target)
    return nullptr;
  TargetOptions options;
  // Sections of their own, so that the linker drops what nothing uses.
  options.FunctionSections = true;
  options.DataSections = true;
  return std::unique_ptr<TargetMachine>(target->createTargetMachine(
      Triple(kTriple), cpu.name, cpu.features, options, Reloc::PIC_,
      CodeModel::Small, CodeGenOptLevel::Aggressive));
}

void gatecc::stampFunction(Function &function, const CpuTarget &cpu) {
  for (const char *kind : {"target-cpu", "target-features", "tune-cpu",
                           "prefer-vector-width", "min-legal-vector-width"})
    function.removeFnAttr(kind);
  function.addFnAttr("target-cpu", cpu.name);
  if (!cpu.features.empty())
    function.addFnAttr("target-features", cpu.features);
  // LLVM tunes some AVX-512 CPUs for 256-bit vectors; kernels use all 512.
  if (cpu.vectorBits() == 512) {
    function.addFnAttr("prefer-vector-width", "512");
    function.addFnAttr("min-legal-vector-width", "512");
  }
}
