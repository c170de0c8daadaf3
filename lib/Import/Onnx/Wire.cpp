// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reads fields of the protobuf wire format; every length is checked.
#include "lib/Import/Onnx/Wire.h"

#include "llvm/ADT/bit.h"
#include "llvm/Support/Endian.h"

using namespace llvm;
using namespace gatecc::wire;

float Field::asFloat() const {
  return llvm::bit_cast<float>(static_cast<uint32_t>(value));
}

double Field::asDouble() const { return llvm::bit_cast<double>(value); }

bool gatecc::wire::readVarint(StringRef &bytes, uint64_t &value) {
  value = 0;
  size_t limit = std::min<size_t>(bytes.size(), 10);
  for (size_t i = 0; i < limit; ++i) {
    uint64_t byte = static_cast<uint8_t>(bytes[i]);
    // The tenth byte holds one bit.
    if (i == 9 && byte > 1)
      return false;
    value |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      bytes = bytes.drop_front(i + 1);
      return true;
    }
  }
  return false;
}

bool Reader::readField(Field &field, unsigned &wireType) {
  uint64_t tag;
  if (!readVarint(rest, tag) || tag > UINT32_MAX || (tag >> 3) == 0)
    return fail();
  field.number = static_cast<uint32_t>(tag >> 3);
  field.value = 0;
  field.bytes = {};
  wireType = tag & 7;
  field.kind = static_cast<Kind>(wireType);
  switch (wireType) {
  case 0:
    return readVarint(rest, field.value) || fail();
  case 1:
    if (rest.size() < 8)
      return fail();
    field.value = support::endian::read64le(rest.data());
    rest = rest.drop_front(8);
    return true;
  case 2: {
    uint64_t length;
    if (!readVarint(rest, length) || length > rest.size())
      return fail();
    field.bytes = rest.take_front(length);
    rest = rest.drop_front(length);
    return true;
  }
  case 3: // start and
  case 4: // end of a group
    return true;
  case 5:
    if (rest.size() < 4)
      return fail();
    field.value = support::endian::read32le(rest.data());
    rest = rest.drop_front(4);
    return true;
  default:
    return fail();
  }
}

bool Reader::next(Field &field) {
  uint64_t openGroups = 0;
  while (!malformed && !rest.empty()) {
    unsigned wireType;
    if (!readField(field, wireType))
      return false;
    if (wireType == 3) {
      ++openGroups;
    } else if (wireType == 4) {
      if (openGroups-- == 0)
        return fail();
    } else if (openGroups == 0) {
      return true;
    }
  }
  if (openGroups != 0)
    malformed = true;
  return false;
}

bool gatecc::wire::forEachNumber(StringRef message, uint32_t number, Kind kind,
                                 function_ref<bool(uint64_t)> visit) {
  Reader reader(message);
  Field field;
  while (reader.next(field)) {
    if (field.number != number)
      continue;
    if (field.kind == kind) {
      if (!visit(field.value))
        return false;
      continue;
    }
    if (field.kind != Kind::Bytes)
      return false;
    StringRef packed = field.bytes;
    size_t size = kind == Kind::Fixed64 ? 8 : 4;
    if (kind != Kind::Varint && packed.size() % size != 0)
      return false;
    while (!packed.empty()) {
      uint64_t value;
      if (kind == Kind::Varint) {
        if (!readVarint(packed, value))
          return false;
      } else {
        value = size == 8 ? support::endian::read64le(packed.data())
                          : support::endian::read32le(packed.data());
        packed = packed.drop_front(size);
      }
      if (!visit(value))
        return false;
    }
  }
  return !reader.isMalformed();
}
