// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// JSON text as a tree that knows where each value stands. Free of LLVM: the
// parser behind it needs exceptions.
#ifndef GATECC_LIB_IMPORT_JSON_JSONTEXT_H
#define GATECC_LIB_IMPORT_JSON_JSONTEXT_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace gatecc {

struct JsonValue {
  enum Kind : uint8_t { Null, Bool, Int, Float, String, Array, Object };

  Kind kind = Null;
  bool boolean = false;
  size_t offset =
      0; // in the text, of about its first (a container) or last byte
  int64_t integer = 0;
  double number = 0; // of an Int, too
  std::string text;
  std::vector<JsonValue> items;  // of an Array, or the values of an Object
  std::vector<std::string> keys; // of an Object, all different

  bool isNumber() const { return kind == Int || kind == Float; }
  /// The member of that name, or null.
  const JsonValue *get(const char *key) const;
  const char *describe() const;
};

/// Parses text of at most 4 million values, nested at most 64 deep. On failure
/// `error` says what is wrong at byte `offset`.
bool parseJson(const char *text, size_t size, JsonValue &root,
               std::string &error, size_t &offset);

/// The JSON pointer (RFC 6901) of `value`, which is in the tree of `root`.
std::string jsonPointer(const JsonValue &root, const JsonValue *value);

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_JSON_JSONTEXT_H
