// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A bounded reader of the protobuf wire format: views into the buffer, no
// copies.
#ifndef GATECC_LIB_IMPORT_ONNX_WIRE_H
#define GATECC_LIB_IMPORT_ONNX_WIRE_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>

namespace gatecc::wire {

enum class Kind : uint8_t { Varint = 0, Fixed64 = 1, Bytes = 2, Fixed32 = 5 };

/// One field of a message.
struct Field {
  uint32_t number;
  Kind kind;
  uint64_t value;        // Varint, Fixed64, Fixed32
  llvm::StringRef bytes; // Bytes

  int64_t asInt() const { return static_cast<int64_t>(value); }
  float asFloat() const;   // of a Fixed32
  double asDouble() const; // of a Fixed64
};

/// Reads the fields of one message in order. Groups, which no ONNX version has
/// ever used, are skipped.
class Reader {
public:
  explicit Reader(llvm::StringRef message) : rest(message) {}
  /// False at the end of the message and where it is malformed.
  bool next(Field &field);
  bool isMalformed() const { return malformed; }

private:
  bool fail() {
    malformed = true;
    return false;
  }
  bool readField(Field &field, unsigned &wireType);

  llvm::StringRef rest;
  bool malformed = false;
};

/// Reads a base-128 number from the front of `bytes`; false if there is none.
bool readVarint(llvm::StringRef &bytes, uint64_t &value);

/// Calls `visit` for each number of a repeated field of `message`, packed or
/// not; `kind` is that of one number. False if the message is malformed, holds
/// the field in another form, or `visit` returns false.
bool forEachNumber(llvm::StringRef message, uint32_t number, Kind kind,
                   llvm::function_ref<bool(uint64_t)> visit);

} // namespace gatecc::wire

#endif // GATECC_LIB_IMPORT_ONNX_WIRE_H
