// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Parses JSON with nlohmann_json's event interface, which recurses nowhere, and
// notes at each event how much of the text has been read.
#include "lib/Import/Json/JsonText.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

using namespace gatecc;
using nlohmann::json;

namespace {

constexpr size_t maxValues = 1 << 22;
constexpr size_t maxDepth = 64;

/// Reads characters and leaves in `*place` where it is.
class PlaceIterator {
public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char *;
  using reference = const char &;

  PlaceIterator(const char *at, const char **place) : at(at), place(place) {}
  reference operator*() const { return *at; }
  PlaceIterator &operator++() {
    ++at;
    if (place)
      *place = at;
    return *this;
  }
  PlaceIterator operator++(int) {
    PlaceIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const PlaceIterator &other) const { return at == other.at; }
  bool operator!=(const PlaceIterator &other) const { return at != other.at; }

private:
  const char *at;
  const char **place;
};

class TreeBuilder : public json::json_sax_t {
public:
  TreeBuilder(JsonValue &root, const char *const &place, const char *begin,
              std::string &error, size_t &offset)
      : root(root), place(place), begin(begin), error(error), offset(offset) {}

  bool null() override { return add(JsonValue::Null, 0); }
  bool boolean(bool value) override {
    return add(JsonValue::Bool, 0) && (last->boolean = value, true);
  }
  bool number_integer(number_integer_t value) override {
    if (!add(JsonValue::Int, 1))
      return false;
    last->integer = value;
    last->number = static_cast<double>(value);
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (value <= static_cast<number_unsigned_t>(INT64_MAX))
      return number_integer(static_cast<number_integer_t>(value));
    return number_float(static_cast<double>(value), {});
  }
  bool number_float(number_float_t value, const string_t &) override {
    return add(JsonValue::Float, 1) && (last->number = value, true);
  }
  bool string(string_t &value) override {
    return add(JsonValue::String, 0) && (last->text = std::move(value), true);
  }
  bool binary(binary_t &) override { return fail("binary data"); }
  bool start_object(std::size_t) override { return open(JsonValue::Object); }
  bool start_array(std::size_t) override { return open(JsonValue::Array); }
  bool key(string_t &value) override {
    JsonValue &object = *path.back();
    for (const std::string &other : recentKeys(object))
      if (other == value)
        return fail("the key \"" + value + "\" is given twice");
    object.keys.push_back(std::move(value));
    return true;
  }
  bool end_object() override {
    JsonValue &object = *path.back();
    // Large objects: look for equal keys once, not at each key.
    if (object.keys.size() > maxCompared) {
      std::vector<std::string> sorted = object.keys;
      std::sort(sorted.begin(), sorted.end());
      auto twice = std::adjacent_find(sorted.begin(), sorted.end());
      if (twice != sorted.end())
        return fail("the key \"" + *twice + "\" is given twice");
    }
    return end_array();
  }
  bool end_array() override {
    path.pop_back();
    return true;
  }
  bool parse_error(std::size_t, const std::string &,
                   const json::exception &e) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    std::string text = e.what();
    size_t colon = text.find(": ");
    return fail(colon == std::string::npos ? text : text.substr(colon + 2));
  }

private:
  static constexpr size_t maxCompared = 32;
  static const std::vector<std::string> &recentKeys(const JsonValue &object) {
    static const std::vector<std::string> none;
    return object.keys.size() <= maxCompared ? object.keys : none;
  }
  bool fail(const std::string &reason) {
    error = reason;
    offset = place - begin;
    return false;
  }
  /// `ahead`: how many bytes the parser has read beyond the value.
  bool add(JsonValue::Kind kind, size_t ahead) {
    if (++values > maxValues)
      return fail("the text has more than 4 million values");
    if (path.empty()) {
      last = &root;
    } else {
      path.back()->items.emplace_back();
      last = &path.back()->items.back();
    }
    last->kind = kind;
    size_t read = place - begin;
    last->offset = read > ahead + 1 ? read - ahead - 1 : 0;
    return true;
  }
  bool open(JsonValue::Kind kind) {
    if (path.size() >= maxDepth)
      return fail("values are nested more than 64 deep");
    if (!add(kind, 0))
      return false;
    path.push_back(last);
    return true;
  }

  JsonValue &root;
  const char *const &place;
  const char *begin;
  std::string &error;
  size_t &offset;
  // Containers that are open. Their addresses last: a vector of items does not
  // grow while one of its items is open.
  std::vector<JsonValue *> path;
  JsonValue *last = nullptr;
  size_t values = 0;
};

} // namespace

const JsonValue *JsonValue::get(const char *key) const {
  for (size_t i = 0; i < keys.size(); ++i)
    if (keys[i] == key)
      return &items[i];
  return nullptr;
}

const char *JsonValue::describe() const {
  static const char *const names[] = {"null",     "true or false", "an integer",
                                      "a number", "a string",      "an array",
                                      "an object"};
  return names[kind];
}

bool gatecc::parseJson(const char *text, size_t size, JsonValue &root,
                       std::string &error, size_t &offset) {
  const char *place = text;
  TreeBuilder builder(root, place, text, error, offset);
  try {
    if (json::sax_parse(PlaceIterator(text, &place),
                        PlaceIterator(text + size, nullptr), &builder))
      return true;
  } catch (const std::exception &e) {
    error = e.what();
    offset = place - text;
  }
  if (error.empty())
    error = "malformed text";
  return false;
}

static bool findPointer(const JsonValue &root, const JsonValue *value,
                        std::string &path) {
  if (&root == value)
    return true;
  for (size_t i = 0; i < root.items.size(); ++i) {
    size_t length = path.size();
    path += '/';
    if (root.kind == JsonValue::Object) {
      for (char c : root.keys[i])
        path += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    } else {
      path += std::to_string(i);
    }
    if (findPointer(root.items[i], value, path))
      return true;
    path.resize(length);
  }
  return false;
}

std::string gatecc::jsonPointer(const JsonValue &root, const JsonValue *value) {
  std::string path;
  findPointer(root, value, path);
  return path;
}
