// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Finds the elements of a TensorProto: in place in the model file (raw_data,
// packed float_data), in a data file beside it, or decoded from numbers.
#include "lib/Import/Onnx/TensorData.h"
#include "lib/Import/Onnx/Wire.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace gatecc;
using gatecc::wire::Kind;
using llvm::Error;
using llvm::ErrorOr;
using llvm::Expected;
using llvm::MemoryBuffer;

static constexpr struct {
  const char *name;
  unsigned bits;  // 0: gatecc has no such type
  char kind;      // f(loat), b(float), i(nt), u(nsigned)
  uint32_t field; // of the typed data
} dataTypes[] = {{"UNDEFINED", 0, 0, 0},
                 {"FLOAT", 32, 'f', proto::FloatData},
                 {"UINT8", 8, 'u', proto::Int32Data},
                 {"INT8", 8, 'i', proto::Int32Data},
                 {"UINT16", 16, 'u', proto::Int32Data},
                 {"INT16", 16, 'i', proto::Int32Data},
                 {"INT32", 32, 'i', proto::Int32Data},
                 {"INT64", 64, 'i', proto::Int64Data},
                 {"STRING", 0, 0, 0},
                 {"BOOL", 1, 'i', proto::Int32Data},
                 {"FLOAT16", 16, 'f', proto::Int32Data},
                 {"DOUBLE", 64, 'f', proto::DoubleData},
                 {"UINT32", 32, 'u', proto::Uint64Data},
                 {"UINT64", 64, 'u', proto::Uint64Data},
                 {"COMPLEX64", 0, 0, 0},
                 {"COMPLEX128", 0, 0, 0},
                 {"BFLOAT16", 16, 'b', proto::Int32Data},
                 {"FLOAT8E4M3FN", 0, 0, 0},
                 {"FLOAT8E4M3FNUZ", 0, 0, 0},
                 {"FLOAT8E5M2", 0, 0, 0},
                 {"FLOAT8E5M2FNUZ", 0, 0, 0},
                 {"UINT4", 0, 0, 0},
                 {"INT4", 0, 0, 0},
                 {"FLOAT4E2M1", 0, 0, 0},
                 {"FLOAT8E8M0", 0, 0, 0}};

Type gatecc::onnxElementType(MLIRContext *context, int64_t dataType) {
  if (dataType < 0 || dataType >= static_cast<int64_t>(std::size(dataTypes)))
    return {};
  const auto &entry = dataTypes[dataType];
  Builder builder(context);
  switch (entry.kind) {
  case 'f':
    return entry.bits == 16   ? builder.getF16Type()
           : entry.bits == 32 ? builder.getF32Type()
                              : Type(builder.getF64Type());
  case 'b':
    return builder.getBF16Type();
  case 'i':
    return builder.getIntegerType(entry.bits);
  case 'u':
    return builder.getIntegerType(entry.bits, /*isSigned=*/false);
  default:
    return {};
  }
}

std::string gatecc::onnxTypeName(int64_t dataType) {
  if (dataType >= 0 && dataType < static_cast<int64_t>(std::size(dataTypes)))
    return dataTypes[dataType].name;
  return "number " + std::to_string(dataType);
}

Expected<TensorContent> TensorReader::read(const proto::Tensor &tensor) {
  TensorContent content;
  Type element = onnxElementType(context, tensor.dataType);
  if (!element)
    return sourceError("has element type " + onnxTypeName(tensor.dataType) +
                       ", which gatecc does not support");
  if (tensor.isSegment)
    return sourceError(
        "is one segment of a tensor, which gatecc does not support");
  if (tensor.dims.size() > maxRank)
    return sourceError("has " + Twine(tensor.dims.size()) +
                       " dimensions; at most " + Twine(maxRank) +
                       " are supported");
  for (int64_t extent : tensor.dims)
    if (extent < 0)
      return sourceError("has a dimension of size " + Twine(extent));
  if (!fitsMemory(tensor.dims, element))
    return sourceError("has more elements than memory can hold");
  content.type = RankedTensorType::get(tensor.dims, element);
  int64_t size = content.type.getNumElements() * elementBytes(element);

  if (tensor.isExternal) {
    if (Error failed = readExternal(tensor, size, content))
      return std::move(failed);
    return content;
  }
  if (!tensor.raw) {
    if (Error failed = decode(tensor, content))
      return std::move(failed);
    return content;
  }
  if (static_cast<int64_t>(tensor.raw->size()) != size)
    return sourceError("holds " + Twine(tensor.raw->size()) +
                       " bytes of data where its "
                       "shape and type need " +
                       Twine(size));
  if (Error failed = readInside(*tensor.raw, content))
    return std::move(failed);
  return content;
}

Error TensorReader::readInside(StringRef data, TensorContent &content) {
  if (content.type.getElementType().isInteger(1) && !areBools(data))
    return sourceError("holds bools that are neither 0 nor 1");
  if (static_cast<int64_t>(data.size()) <= smallConstantBytes ||
      repeatsOneElement(content.type, data)) {
    content.value = denseFromBytes(content.type, data);
    return Error::success();
  }
  content.file = path.str();
  content.offset = data.data() - bytes.data();
  return Error::success();
}

Error TensorReader::readExternal(const proto::Tensor &tensor, int64_t size,
                                 TensorContent &content) {
  StringRef location;
  uint64_t offset = 0, length = size;
  for (auto [key, text] : tensor.external) {
    if (key == "location") {
      location = text;
    } else if (key == "offset" || key == "length") {
      if (text.getAsInteger(10, key == "offset" ? offset : length))
        return sourceError("has external data with the " + key + " '" + text +
                           "', which is no number");
    }
  }
  Expected<DataFiles::DataFile> file = dataFiles.find(location);
  if (!file)
    return file.takeError();
  if (length != static_cast<uint64_t>(size))
    return sourceError("has external data of " + Twine(length) +
                       " bytes where its "
                       "shape and type need " +
                       Twine(size));
  if (offset > file->size || length > file->size - offset)
    return sourceError("needs " + Twine(length) + " bytes from byte " +
                       Twine(offset) + " of data file '" + location +
                       "', which has only " + Twine(file->size));
  // Mapped, not read, where it is large.
  ErrorOr<std::unique_ptr<MemoryBuffer>> slice =
      MemoryBuffer::getFileSlice(file->path, size, offset);
  if (std::error_code code = slice.getError())
    return sourceError("has a data file '" + location +
                       "' that cannot be read: " + code.message());
  StringRef data = (*slice)->getBuffer();
  if (static_cast<int64_t>(data.size()) != size)
    return sourceError("has a data file '" + location +
                       "' that cannot be read");
  if (content.type.getElementType().isInteger(1) && !areBools(data))
    return sourceError("holds bools that are neither 0 nor 1");
  if (size <= smallConstantBytes || repeatsOneElement(content.type, data)) {
    content.value = denseFromBytes(content.type, data);
    return Error::success();
  }
  content.file = file->path;
  content.offset = static_cast<int64_t>(offset);
  return Error::success();
}

/// The one packed run of a repeated field; null if there is another number of
/// them.
static std::optional<StringRef> onlyRun(StringRef message, uint32_t number) {
  wire::Reader reader(message);
  wire::Field field;
  std::optional<StringRef> run;
  while (reader.next(field)) {
    if (field.number != number)
      continue;
    if (run || field.kind != Kind::Bytes)
      return std::nullopt;
    run = field.bytes;
  }
  return run;
}

Error TensorReader::decode(const proto::Tensor &tensor,
                           TensorContent &content) {
  Type element = content.type.getElementType();
  int64_t width = elementBytes(element), count = content.type.getNumElements();
  uint32_t number = dataTypes[tensor.dataType].field;
  Kind kind = number == proto::FloatData    ? Kind::Fixed32
              : number == proto::DoubleData ? Kind::Fixed64
                                            : Kind::Varint;
  // Packed floats are as good as raw data.
  if (kind != Kind::Varint)
    if (std::optional<StringRef> run = onlyRun(tensor.message, number);
        run && static_cast<int64_t>(run->size()) == count * width)
      return readInside(*run, content);

  auto mismatch = [&](const Twine &found) {
    return sourceError("holds " + found + " elements where its shape needs " +
                       Twine(count));
  };
  // An element takes a byte or more: this bounds what is allocated below.
  if (count > static_cast<int64_t>(tensor.message.size()))
    return mismatch("fewer");
  std::string data;
  data.reserve(count * width);
  bool tooMany = false;
  bool ok =
      wire::forEachNumber(tensor.message, number, kind, [&](uint64_t value) {
        if (static_cast<int64_t>(data.size()) == count * width) {
          tooMany = true;
          return false;
        }
        data.append(reinterpret_cast<const char *>(&value), width);
        return true;
      });
  if (tooMany)
    return mismatch("more");
  if (!ok)
    return sourceError("holds malformed data");
  if (static_cast<int64_t>(data.size()) != count * width)
    return mismatch(Twine(data.size() / width));
  if (element.isInteger(1) && !areBools(data))
    return sourceError("holds bools that are neither 0 nor 1");
  content.value = denseFromBytes(content.type, data);
  return Error::success();
}
