// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Writes the weight section: as an ELF object for the linker, or as a file
// that the library maps. Bytes go through a mapping, never through LLVM.
#include "gatecc/Target/Weights.h"

#include "gatecc/Target/OutputFile.h"
#include "mlir/IR/Diagnostics.h"
#include "runtime/program.h"
#include "llvm/BinaryFormat/ELF.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/xxhash.h"
#include <cstring>

using namespace mlir;
using namespace gatecc;
namespace ELF = llvm::ELF;

static_assert(GATECC_WEIGHTS_START == 4096, "both containers start data there");

namespace {
/// The object after its data: symbols, names and section headers.
struct ObjectTail {
  ELF::Elf64_Sym symbols[2];
  char symbolNames[16];
  char sectionNames[72];
  ELF::Elf64_Shdr sections[6];
};
} // namespace

static void fillObject(uint8_t *file, uint64_t dataBytes, uint64_t tailOffset) {
  enum { Null, Weights, Stack, Symbols, SymbolNames, SectionNames, Count };
  auto *tail = reinterpret_cast<ObjectTail *>(file + tailOffset);
  std::memset(tail, 0, sizeof(ObjectTail));
  // Offsets of the names below.
  static const char symbolNames[] = "\0gatecc_weights";
  static const char sectionNames[] =
      "\0.lrodata.weights\0.note.GNU-stack\0.symtab\0.strtab\0.shstrtab";
  static_assert(sizeof(symbolNames) <= sizeof(tail->symbolNames));
  static_assert(sizeof(sectionNames) <= sizeof(tail->sectionNames));
  std::memcpy(tail->symbolNames, symbolNames, sizeof(symbolNames));
  std::memcpy(tail->sectionNames, sectionNames, sizeof(sectionNames));

  ELF::Elf64_Sym &symbol = tail->symbols[1];
  symbol.st_name = 1;
  symbol.setBindingAndType(ELF::STB_GLOBAL, ELF::STT_OBJECT);
  symbol.st_other = ELF::STV_HIDDEN;
  symbol.st_shndx = Weights;
  symbol.st_size = dataBytes;

  auto section = [&](unsigned index, unsigned name, unsigned type,
                     uint64_t flags, uint64_t offset, uint64_t size,
                     uint64_t alignment) -> ELF::Elf64_Shdr & {
    ELF::Elf64_Shdr &header = tail->sections[index];
    header.sh_name = name;
    header.sh_type = type;
    header.sh_flags = flags;
    header.sh_offset = offset;
    header.sh_size = size;
    header.sh_addralign = alignment;
    return header;
  };
  auto inTail = [&](const void *part) {
    return tailOffset + (reinterpret_cast<const uint8_t *>(part) -
                         reinterpret_cast<const uint8_t *>(tail));
  };
  section(Weights, 1, ELF::SHT_PROGBITS, ELF::SHF_ALLOC | ELF::SHF_X86_64_LARGE,
          GATECC_WEIGHTS_START, dataBytes, GATECC_WEIGHTS_START);
  section(Stack, 18, ELF::SHT_PROGBITS, 0, GATECC_WEIGHTS_START, 0, 1);
  ELF::Elf64_Shdr &symbols =
      section(Symbols, 34, ELF::SHT_SYMTAB, 0, inTail(tail->symbols),
              sizeof(tail->symbols), 8);
  symbols.sh_link = SymbolNames;
  symbols.sh_info = 1; // the first global symbol
  symbols.sh_entsize = sizeof(ELF::Elf64_Sym);
  section(SymbolNames, 42, ELF::SHT_STRTAB, 0, inTail(tail->symbolNames),
          sizeof(symbolNames), 1);
  section(SectionNames, 50, ELF::SHT_STRTAB, 0, inTail(tail->sectionNames),
          sizeof(sectionNames), 1);

  auto *header = reinterpret_cast<ELF::Elf64_Ehdr *>(file);
  std::memset(header, 0, sizeof(*header));
  std::memcpy(header->e_ident, ELF::ElfMagic, 4);
  header->e_ident[ELF::EI_CLASS] = ELF::ELFCLASS64;
  header->e_ident[ELF::EI_DATA] = ELF::ELFDATA2LSB;
  header->e_ident[ELF::EI_VERSION] = ELF::EV_CURRENT;
  header->e_type = ELF::ET_REL;
  header->e_machine = ELF::EM_X86_64;
  header->e_version = ELF::EV_CURRENT;
  header->e_shoff = inTail(tail->sections);
  header->e_ehsize = sizeof(*header);
  header->e_shentsize = sizeof(ELF::Elf64_Shdr);
  header->e_shnum = Count;
  header->e_shstrndx = SectionNames;
}

LogicalResult gatecc::writeWeights(ArrayRef<ModuleOp> modules,
                                   WeightContainer container, StringRef path,
                                   StringRef result, uint64_t &hash) {
  FailureOr<uint64_t> bytes = placedBytes(modules);
  if (failed(bytes))
    return failure();
  bool isObject = container == WeightContainer::Object;
  uint64_t tail = GATECC_WEIGHTS_START + llvm::alignTo(*bytes, 64);
  uint64_t size =
      isObject ? tail + sizeof(ObjectTail) : GATECC_WEIGHTS_START + *bytes;
  std::string error;
  auto cannotWrite = [&] {
    return emitError(UnknownLoc::get(modules.front()->getContext()))
           << "cannot write '" << result << "': " << *bytes
           << " bytes of weights: " << error;
  };
  std::unique_ptr<MappedOutput> out = MappedOutput::create(path, size, error);
  if (!out)
    return cannotWrite();
  MutableArrayRef<uint8_t> data(out->data() + GATECC_WEIGHTS_START, *bytes);
  if (failed(evaluateWeights(modules, data)))
    return failure();
  hash = llvm::xxHash64(data);
  if (isObject) {
    fillObject(out->data(), *bytes, tail);
  } else {
    gatecc_weights_header header = {};
    std::memcpy(header.magic, GATECC_WEIGHTS_MAGIC, sizeof(header.magic));
    header.version = GATECC_WEIGHTS_VERSION;
    header.start = GATECC_WEIGHTS_START;
    header.data_bytes = *bytes;
    header.hash = hash;
    std::memcpy(out->data(), &header, sizeof(header));
  }
  if (!out->commit(error))
    return cannotWrite();
  return success();
}
