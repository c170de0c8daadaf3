// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reads the header of a safetensors file; the tensors stay where they are.
#include "lib/Import/Json/Safetensors.h"

#include "lib/Import/Json/JsonText.h"
#include "lib/Import/Source/SourceFile.h"

#include "llvm/Support/Endian.h"

using namespace llvm;
using namespace gatecc;

/// As in the format's own library.
static constexpr uint64_t maxHeaderBytes = 100'000'000;

static Error readEntry(StringRef name, const JsonValue &entry,
                       uint64_t dataBegin, uint64_t dataSize,
                       SafeTensor &tensor) {
  auto fail = [&](const Twine &reason) {
    return sourceError("has a header whose tensor '" + name + "' " + reason);
  };
  const JsonValue *dtype = entry.get("dtype"), *shape = entry.get("shape"),
                  *offsets = entry.get("data_offsets");
  if (entry.kind != JsonValue::Object || !dtype || !shape || !offsets)
    return fail("lacks dtype, shape or data_offsets");
  if (dtype->kind != JsonValue::String)
    return fail("has a dtype that is no string");
  tensor.dtype = dtype->text;
  if (shape->kind != JsonValue::Array)
    return fail("has a shape that is no array");
  for (const JsonValue &extent : shape->items) {
    if (extent.kind != JsonValue::Int || extent.integer < 0)
      return fail("has a shape with an extent that is no size");
    tensor.shape.push_back(extent.integer);
  }
  if (offsets->kind != JsonValue::Array || offsets->items.size() != 2 ||
      offsets->items[0].kind != JsonValue::Int ||
      offsets->items[1].kind != JsonValue::Int)
    return fail("has data_offsets that are not two integers");
  int64_t begin = offsets->items[0].integer, end = offsets->items[1].integer;
  if (begin < 0 || end < begin || static_cast<uint64_t>(end) > dataSize)
    return fail("lies at bytes " + Twine(begin) + " to " + Twine(end) +
                " of the " + Twine(dataSize) + " that follow the header");
  tensor.offset = dataBegin + begin;
  tensor.size = end - begin;
  return Error::success();
}

Expected<Safetensors> gatecc::readSafetensors(StringRef path) {
  Expected<std::unique_ptr<MemoryBuffer>> buffer = openSource(path);
  if (!buffer)
    return buffer.takeError();
  Safetensors file;
  file.buffer = std::move(*buffer);
  StringRef bytes = file.buffer->getBuffer();
  if (bytes.size() < 8)
    return sourceError("is too short for a safetensors file");
  uint64_t length = support::endian::read64le(bytes.data());
  if (length > maxHeaderBytes || length > bytes.size() - 8)
    return sourceError(
        "is cut off, or no safetensors file: its header should take " +
        Twine(length) + " bytes");
  JsonValue header;
  std::string error;
  size_t offset = 0;
  if (!parseJson(bytes.data() + 8, length, header, error, offset))
    return sourceError("has a malformed header: " + error);
  if (header.kind != JsonValue::Object)
    return sourceError("has a header that is no object");
  for (size_t i = 0; i < header.keys.size(); ++i) {
    if (header.keys[i] == "__metadata__")
      continue;
    if (Error failed =
            readEntry(header.keys[i], header.items[i], 8 + length,
                      bytes.size() - 8 - length, file.tensors[header.keys[i]]))
      return std::move(failed);
  }
  return file;
}
