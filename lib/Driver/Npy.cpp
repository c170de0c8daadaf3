// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reads and writes .npy files (format versions 1 to 3), strictly bounded.
#include "lib/Driver/Npy.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include <cstring>

using namespace llvm;
using namespace gatecc;

static const StringRef kMagic("\x93NUMPY", 6);

namespace {
/// The header is a Python dictionary: {'descr': '<f4', 'fortran_order': False,
/// 'shape': (2, 3), }.
class HeaderParser {
public:
  explicit HeaderParser(StringRef text) : rest(text) {}
  bool parse();

  std::string descr;
  bool fortranOrder = false;
  std::vector<int64_t> shape;

private:
  bool accept(StringRef token) {
    rest = rest.ltrim();
    return rest.consume_front(token);
  }
  bool parseString(std::string &out);
  bool parseShape();

  StringRef rest;
};
} // namespace

bool HeaderParser::parseString(std::string &out) {
  rest = rest.ltrim();
  char quote = rest.empty() ? 0 : rest.front();
  size_t end =
      quote == '\'' || quote == '"' ? rest.find(quote, 1) : StringRef::npos;
  if (end == StringRef::npos)
    return false;
  out = rest.slice(1, end).str();
  rest = rest.drop_front(end + 1);
  return true;
}

bool HeaderParser::parseShape() {
  if (!accept("("))
    return false;
  while (!accept(")")) {
    int64_t extent;
    rest = rest.ltrim();
    if (rest.consumeInteger(10, extent) || extent < 0 || shape.size() == 64)
      return false;
    rest.consume_front("L"); // written by Python 2
    shape.push_back(extent);
    if (!accept(",") && !rest.ltrim().starts_with(")"))
      return false;
  }
  return true;
}

bool HeaderParser::parse() {
  bool hasDescr = false, hasOrder = false, hasShape = false;
  if (!accept("{"))
    return false;
  while (!accept("}")) {
    std::string key;
    if (!parseString(key) || !accept(":"))
      return false;
    if (key == "descr" && !hasDescr) {
      hasDescr = parseString(descr);
      if (!hasDescr)
        return false;
    } else if (key == "fortran_order" && !hasOrder) {
      hasOrder = true;
      fortranOrder = accept("True");
      if (!fortranOrder && !accept("False"))
        return false;
    } else if (key == "shape" && !hasShape) {
      hasShape = parseShape();
      if (!hasShape)
        return false;
    } else {
      return false;
    }
    if (!accept(",") && !rest.ltrim().starts_with("}"))
      return false;
  }
  return hasDescr && hasOrder && hasShape && rest.trim().empty();
}

/// Type of a descr such as "<f4"; false for what a library cannot take.
static bool parseDescr(StringRef descr, NpyArray &array, std::string &error) {
  unsigned bytes = 0;
  char order = descr.empty() ? 0 : descr[0];
  char kind = descr.size() > 1 ? descr[1] : 0;
  if (descr.size() < 3 || descr.drop_front(2).getAsInteger(10, bytes)) {
    error = "the type '" + descr.str() + "' is not supported";
    return false;
  }
  if (order == '>' && bytes > 1) {
    error = "the array is big-endian; convert it, for example with "
            "a.astype(a.dtype.newbyteorder('<'))";
    return false;
  }
  static const struct {
    char kind;
    uint8_t code;
    unsigned low, high;
  } kinds[] = {{'f', kDLFloat, 2, 8},
               {'i', kDLInt, 1, 8},
               {'u', kDLUInt, 1, 8},
               {'b', kDLBool, 1, 1},
               {'V', kDLUInt, 2, 2}};
  for (const auto &row : kinds)
    if (kind == row.kind && isPowerOf2_32(bytes) && bytes >= row.low &&
        bytes <= row.high && StringRef("<|>=").contains(order)) {
      array.type = {row.code, uint8_t(8 * bytes), 1};
      array.isOpaque = kind == 'V';
      return true;
    }
  error = "the type '" + descr.str() + "' is not supported";
  return false;
}

/// From the first dimension fastest to the last one fastest.
static void reorder(NpyArray &array) {
  size_t rank = array.shape.size(), size = array.type.bits / 8;
  std::vector<uint8_t> sorted(array.data.size());
  std::vector<int64_t> index(rank, 0);
  for (size_t out = 0; out < sorted.size(); out += size) {
    size_t in = 0;
    for (size_t d = rank; d-- > 0;)
      in = in * array.shape[d] + index[d];
    std::memcpy(&sorted[out], &array.data[in * size], size);
    for (size_t d = rank; d-- > 0 && ++index[d] == array.shape[d];)
      index[d] = 0;
  }
  array.data = std::move(sorted);
}

std::optional<NpyArray> gatecc::parseNpy(StringRef file, std::string &error) {
  auto fail = [&](const Twine &text) {
    error = text.str();
    return std::nullopt;
  };
  if (!file.consume_front(kMagic) || file.size() < 4)
    return fail("it is not a .npy file");
  unsigned version = uint8_t(file[0]);
  if (version < 1 || version > 3)
    return fail("its .npy format version " + Twine(version) + " is unknown");
  size_t lengthBytes = version == 1 ? 2 : 4, length = 0;
  file = file.drop_front(2);
  if (file.size() < lengthBytes)
    return fail("it is truncated");
  for (size_t i = 0; i < lengthBytes; ++i)
    length |= size_t(uint8_t(file[i])) << (8 * i);
  file = file.drop_front(lengthBytes);
  if (length > file.size())
    return fail("it is truncated");
  HeaderParser header(file.take_front(length));
  if (!header.parse())
    return fail("its header is not that of an array of numbers");
  file = file.drop_front(length);

  NpyArray array;
  if (!parseDescr(header.descr, array, error))
    return std::nullopt;
  array.shape = std::move(header.shape);
  uint64_t bytes = array.type.bits / 8;
  // A zero anywhere makes an empty array, however large the other extents.
  if (is_contained(array.shape, 0))
    bytes = 0;
  for (int64_t extent : array.shape)
    if (__builtin_mul_overflow(bytes, uint64_t(extent), &bytes))
      return fail("its shape is too large");
  if (bytes > file.size())
    return fail("it is truncated: the header asks for " + Twine(bytes) +
                " bytes of data, it has " + Twine(file.size()));
  array.data.assign(file.bytes_begin(), file.bytes_begin() + bytes);
  if (header.fortranOrder && array.shape.size() > 1)
    reorder(array);
  return array;
}

void NpyArray::adoptType(DLDataType wanted) {
  bool isHalf = wanted.bits == 16 &&
                (wanted.code == kDLFloat || wanted.code == kDLBfloat);
  if (!isHalf || type.code != kDLUInt || type.bits != 16)
    return;
  type = wanted;
  isOpaque = false;
}

std::optional<NpyArray> gatecc::readNpy(StringRef file,
                                        std::optional<DLDataType> wanted,
                                        std::string &error) {
  auto buffer = MemoryBuffer::getFile(file, /*IsText=*/false,
                                      /*RequiresNullTerminator=*/false);
  std::optional<NpyArray> array;
  if (buffer)
    array = parseNpy((*buffer)->getBuffer(), error);
  else
    error = "cannot read it: " + buffer.getError().message();
  if (array && wanted)
    array->adoptType(*wanted);
  if (array && array->isOpaque) {
    error = "the type V2 stands for float16 and bfloat16 only";
    array.reset();
  }
  if (!array)
    error = (file + ": " + error).str();
  return array;
}

std::string gatecc::formatNpy(DLDataType type, ArrayRef<int64_t> shape,
                              StringRef data) {
  char kind = type.code == kDLFloat  ? 'f'
              : type.code == kDLInt  ? 'i'
              : type.code == kDLBool ? 'b'
                                     : 'u';
  std::string text = "{'descr': '";
  text += type.bits == 8 ? '|' : '<';
  text += kind + std::to_string(type.bits / 8) +
          "', 'fortran_order': False, 'shape': (";
  for (int64_t extent : shape)
    text += std::to_string(extent) + (shape.size() == 1 ? "," : ", ");
  if (shape.size() > 1)
    text.resize(text.size() - 2);
  text += "), }";
  // Data begins at a multiple of 64; the header ends with a line break.
  text.append(63 - (kMagic.size() + 4 + text.size()) % 64, ' ');
  text += '\n';
  std::string file = kMagic.str();
  file += {1, 0, char(text.size() & 0xff), char(text.size() >> 8)};
  file += text;
  file.append(data.data(), data.size());
  return file;
}

std::string gatecc::typeName(DLDataType type) {
  const char *name = type.code == kDLInt      ? "i"
                     : type.code == kDLUInt   ? "u"
                     : type.code == kDLFloat  ? "f"
                     : type.code == kDLBfloat ? "bf"
                                              : "type";
  return type.code == kDLBool ? "bool" : name + std::to_string(type.bits);
}
