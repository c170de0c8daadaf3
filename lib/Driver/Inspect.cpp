// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The command that says what a library holds and what a run needs.
#include "lib/Driver/Commands.h"

#include "gatecc/Target/OutputFile.h"
#include "lib/Driver/LoadedLibrary.h"
#include "lib/Driver/Npy.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace gatecc;

static void writeTensors(json::OStream &json, const gatecc_tensor_info *list,
                         int32_t count) {
  for (const gatecc_tensor_info &tensor : ArrayRef(list, size_t(count)))
    json.object([&] {
      json.attribute("name", json::fixUTF8(tensor.name));
      json.attribute("dtype", typeName(tensor.dtype));
      json.attributeArray("shape", [&] {
        for (const gatecc_dim &dim :
             ArrayRef(tensor.shape, size_t(tensor.rank)))
          if (dim.extent >= 0)
            json.value(dim.extent);
          else
            json.value(json::fixUTF8(dim.symbol));
      });
    });
}

static void writeJson(const gatecc_library &library,
                      const gatecc_memory *memory, raw_ostream &os) {
  json::OStream json(os);
  json.object([&] {
    json.attribute("abi", int64_t(library.abi_version));
    json.attribute("compiler", library.compiler_version);
    json.attribute("model", json::fixUTF8(library.model_name));
    json.attributeArray("inputs", [&] {
      writeTensors(json, library.inputs, library.num_inputs);
    });
    json.attributeArray("outputs", [&] {
      writeTensors(json, library.outputs, library.num_outputs);
    });
    json.attributeArray("targets", [&] {
      for (int32_t i = 0; i < library.num_targets; ++i)
        json.object([&] {
          json.attribute("cpu", library.targets[i].cpu);
          json.attribute("features", library.targets[i].features);
        });
    });
    json.attributeArray("sites", [&] {
      for (int32_t i = 0; i < library.num_sites; ++i)
        json.object([&] {
          const gatecc_site_info &site = library.sites[i];
          json.attribute("name", json::fixUTF8(site.name));
          json.attribute("kind", site.kind);
          if (site.num_groups < 0)
            json.attribute("groups", nullptr);
          else
            json.attribute("groups", site.num_groups);
        });
    });
    json.attribute("weight_bytes", library.weight_bytes);
    if (library.weights_file)
      json.attribute("weights_file", json::fixUTF8(library.weights_file));
    json.attribute("source_hash", library.source_hash);
    if (memory)
      json.attributeObject("memory", [&] {
        json.attribute("arena_bytes", memory->arena_bytes);
        json.attribute("input_bytes", memory->input_bytes);
        json.attribute("output_bytes", memory->output_bytes);
      });
  });
  os << "\n";
}

static void writeTensor(const char *kind, const gatecc_tensor_info &tensor,
                        raw_ostream &os) {
  os << kind << " " << tensor.name << ": " << typeName(tensor.dtype) << " [";
  for (int32_t d = 0; d < tensor.rank; ++d) {
    os << (d ? ", " : "");
    if (tensor.shape[d].extent >= 0)
      os << tensor.shape[d].extent;
    else
      os << tensor.shape[d].symbol;
  }
  os << "]\n";
}

static void writeText(const gatecc_library &library,
                      const gatecc_memory *memory, raw_ostream &os) {
  os << "model " << library.model_name << ", made by gatecc "
     << library.compiler_version << ", interface version "
     << library.abi_version << "\n"
     << "source hash " << library.source_hash << "\n";
  for (int32_t i = 0; i < library.num_inputs; ++i)
    writeTensor("input", library.inputs[i], os);
  for (int32_t i = 0; i < library.num_outputs; ++i)
    writeTensor("output", library.outputs[i], os);
  for (int32_t i = 0; i < library.num_targets; ++i)
    os << "target " << library.targets[i].cpu << ": "
       << library.targets[i].features << "\n";
  for (int32_t i = 0; i < library.num_sites; ++i) {
    const gatecc_site_info &site = library.sites[i];
    os << "site " << site.name << ": " << site.kind << ", ";
    if (site.num_groups < 0)
      os << "groups decided at run time\n";
    else
      os << site.num_groups << " groups\n";
  }
  os << "weights " << library.weight_bytes << " bytes, ";
  if (library.weights_file)
    os << "in the file " << library.weights_file << "\n";
  else
    os << "embedded\n";
  if (memory)
    os << "memory of a run: " << memory->arena_bytes << " bytes, inputs "
       << memory->input_bytes << ", outputs " << memory->output_bytes << "\n";
}

int gatecc::inspectLibrary(const InspectCommand &command) {
  std::string error;
  std::unique_ptr<LoadedLibrary> library =
      LoadedLibrary::open(command.library, error);
  if (!library) {
    errs() << "gatecc: error: " << error << "\n";
    return kExitInput;
  }
  gatecc_memory memory = {};
  memory.struct_size = sizeof(memory);
  if (!command.bindings.empty()) {
    std::vector<gatecc_binding> bindings;
    for (const auto &[symbol, value] : command.bindings)
      bindings.push_back({symbol.c_str(), value});
    gatecc_status status =
        (*library)->memory(bindings.data(), int32_t(bindings.size()), &memory);
    if (status != GATECC_OK) {
      errs() << "gatecc: error: " << command.library
             << ": the memory of a run: " << statusText(status);
      if (status == GATECC_INVALID_ARGUMENT) {
        errs() << "; --bind gives every dimension once:";
        for (int32_t i = 0; i < (*library)->num_symbols; ++i)
          errs() << " " << (*library)->symbols[i];
      }
      errs() << "\n";
      return exitCodeOf(status);
    }
  }
  const gatecc_memory *needed = command.bindings.empty() ? nullptr : &memory;
  std::string text;
  raw_string_ostream stream(text);
  command.json ? writeJson(**library, needed, stream)
               : writeText(**library, needed, stream);
  if (writeOutput("", text, error))
    return kExitSuccess;
  errs() << "gatecc: error: cannot write to standard output: " << error << "\n";
  return kExitInput;
}
