// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reads and writes .npz files. Every place and size in an archive is checked
// against the bytes that are there before it is used.
#include "lib/Driver/Npz.h"

#include "llvm/Support/Endian.h"
#include "llvm/Support/MemoryBuffer.h"
#include <algorithm>
#include <zlib.h>

using namespace llvm;
using namespace gatecc;

// The layouts are those of PKWARE's APPNOTE.TXT, 4.3 and 4.5.3.
static constexpr uint32_t kLocalHeader = 0x04034b50, kEntry = 0x02014b50,
                          kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                          kLocator64 = 0x07064b50;
static constexpr size_t kLocalBytes = 30, kEntryBytes = 46, kEndBytes = 22,
                        kEnd64Bytes = 56, kLocator64Bytes = 20;
/// A number that does not fit into 32 bits stands in the extra field.
static constexpr uint32_t kElsewhere = 0xffffffff;
/// No stream of deflate grows by more.
static constexpr uint64_t kMaxRatio = 1032;

static uint64_t read(StringRef bytes, size_t at, unsigned size) {
  const char *data = bytes.data() + at;
  return size == 2   ? support::endian::read16le(data)
         : size == 4 ? support::endian::read32le(data)
                     : support::endian::read64le(data);
}

namespace {
struct Entry {
  StringRef name;
  unsigned flags = 0, method = 0;
  uint32_t checksum = 0;
  uint64_t packed = 0, size = 0, offset = 0;
};

class Archive {
public:
  Archive(StringRef file, std::string &error) : file(file), error(error) {}
  bool list(std::vector<Entry> &entries);
  bool extract(const Entry &entry, std::string &out);

private:
  bool findDirectory(uint64_t &begin, uint64_t &size, uint64_t &count);
  bool readEntry(StringRef &directory, Entry &entry);
  bool readWide(StringRef extra, Entry &entry);
  bool inflateTo(StringRef packed, std::string &out);
  bool fail(const Twine &text) {
    error = text.str();
    return false;
  }
  /// Whether `size` bytes at `begin` are there.
  bool holds(uint64_t begin, uint64_t size) const {
    return begin <= file.size() && size <= file.size() - begin;
  }

  StringRef file;
  std::string &error;
};
} // namespace

bool Archive::findDirectory(uint64_t &begin, uint64_t &size, uint64_t &count) {
  // The record at the end may be followed by a comment of up to 64 KB.
  constexpr size_t kMaxComment = 0xffff;
  if (file.size() < kEndBytes)
    return fail("it is not a .npz file");
  size_t last = file.size() - kEndBytes;
  size_t first = last > kMaxComment ? last - kMaxComment : 0;
  size_t end = last;
  while (read(file, end, 4) != kEnd)
    if (end-- == first)
      return fail("it is not a .npz file");
  count = read(file, end + 10, 2);
  size = read(file, end + 12, 4);
  begin = read(file, end + 16, 4);
  if (end < kLocator64Bytes ||
      read(file, end - kLocator64Bytes, 4) != kLocator64)
    return true;
  uint64_t wide = read(file, end - kLocator64Bytes + 8, 8);
  if (!holds(wide, kEnd64Bytes) || read(file, wide, 4) != kEnd64)
    return fail("its directory is damaged");
  count = read(file, wide + 32, 8);
  size = read(file, wide + 40, 8);
  begin = read(file, wide + 48, 8);
  return true;
}

/// Replaces what the entry says is in its extra field.
bool Archive::readWide(StringRef extra, Entry &entry) {
  while (extra.size() >= 4) {
    uint64_t id = read(extra, 0, 2), bytes = read(extra, 2, 2);
    extra = extra.drop_front(4);
    if (bytes > extra.size())
      break;
    StringRef field = extra.take_front(bytes);
    extra = extra.drop_front(bytes);
    if (id != 1)
      continue;
    for (uint64_t *value : {&entry.size, &entry.packed, &entry.offset}) {
      if (*value != kElsewhere)
        continue;
      if (field.size() < 8)
        return false;
      *value = read(field, 0, 8);
      field = field.drop_front(8);
    }
    return true;
  }
  return false;
}

bool Archive::readEntry(StringRef &directory, Entry &entry) {
  if (directory.size() < kEntryBytes || read(directory, 0, 4) != kEntry)
    return fail("its directory is damaged");
  entry.flags = read(directory, 8, 2);
  entry.method = read(directory, 10, 2);
  entry.checksum = read(directory, 16, 4);
  entry.packed = read(directory, 20, 4);
  entry.size = read(directory, 24, 4);
  entry.offset = read(directory, 42, 4);
  uint64_t name = read(directory, 28, 2), extra = read(directory, 30, 2),
           comment = read(directory, 32, 2);
  if (directory.size() - kEntryBytes < name + extra + comment)
    return fail("its directory is damaged");
  entry.name = directory.substr(kEntryBytes, name);
  StringRef wide = directory.substr(kEntryBytes + name, extra);
  bool isWide = entry.size == kElsewhere || entry.packed == kElsewhere ||
                entry.offset == kElsewhere;
  if (isWide && !readWide(wide, entry))
    return fail("its directory is damaged");
  directory = directory.drop_front(kEntryBytes + name + extra + comment);
  return true;
}

bool Archive::list(std::vector<Entry> &entries) {
  uint64_t begin, size, count;
  if (!findDirectory(begin, size, count))
    return false;
  if (!holds(begin, size) || count > size / kEntryBytes)
    return fail("its directory is damaged");
  StringRef directory = file.substr(begin, size);
  entries.resize(count);
  for (Entry &entry : entries)
    if (!readEntry(directory, entry))
      return false;
  return true;
}

bool Archive::inflateTo(StringRef packed, std::string &out) {
  z_stream stream = {};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
    return fail("out of memory");
  const char *in = packed.data(), *inEnd = in + packed.size();
  char *to = out.data(), *toEnd = to + out.size();
  // zlib counts in 32 bits.
  constexpr ptrdiff_t kStep = 1 << 30;
  int status = Z_OK;
  while (status == Z_OK) {
    uInt given = uInt(std::min(inEnd - in, kStep)),
         room = uInt(std::min(toEnd - to, kStep));
    stream.next_in =
        reinterpret_cast<Bytef *>(const_cast<char *>(in)); // it only reads
    stream.next_out = reinterpret_cast<Bytef *>(to);
    stream.avail_in = given;
    stream.avail_out = room;
    status = inflate(&stream, Z_NO_FLUSH);
    in += given - stream.avail_in;
    to += room - stream.avail_out;
  }
  inflateEnd(&stream);
  return (status == Z_STREAM_END && to == toEnd) ||
         fail("its compressed data is damaged");
}

bool Archive::extract(const Entry &entry, std::string &out) {
  constexpr unsigned kEncrypted = 1, kStored = 0, kDeflated = 8;
  if (entry.flags & kEncrypted)
    return fail("it is encrypted");
  if (!holds(entry.offset, kLocalBytes) ||
      read(file, entry.offset, 4) != kLocalHeader)
    return fail("it is damaged");
  uint64_t data = entry.offset + kLocalBytes +
                  read(file, entry.offset + 26, 2) +
                  read(file, entry.offset + 28, 2);
  if (!holds(data, entry.packed))
    return fail("it is truncated");
  StringRef packed = file.substr(data, entry.packed);
  if (entry.method == kStored) {
    if (entry.packed != entry.size)
      return fail("it is damaged");
    out = packed.str();
  } else if (entry.method == kDeflated) {
    if (entry.size / kMaxRatio > entry.packed)
      return fail("its compressed data is damaged");
    out.resize(entry.size);
    if (!inflateTo(packed, out))
      return false;
  } else {
    return fail("its compression method " + Twine(entry.method) +
                " is not supported; np.savez and np.savez_compressed write "
                "others");
  }
  uint32_t checksum =
      crc32_z(0, reinterpret_cast<const Bytef *>(out.data()), out.size());
  return checksum == entry.checksum || fail("its checksum is wrong");
}

std::optional<std::vector<NamedArray>> gatecc::parseNpz(StringRef file,
                                                        std::string &error) {
  Archive archive(file, error);
  std::vector<Entry> entries;
  if (!archive.list(entries))
    return std::nullopt;
  std::vector<NamedArray> arrays;
  for (const Entry &entry : entries) {
    StringRef key = entry.name;
    if (!key.consume_back(".npy"))
      continue;
    std::string content;
    std::optional<NpyArray> array;
    if (archive.extract(entry, content))
      array = parseNpy(content, error);
    if (!array) {
      error = ("'" + key + "': " + error).str();
      return std::nullopt;
    }
    arrays.emplace_back(key.str(), std::move(*array));
  }
  return arrays;
}

std::optional<std::vector<NamedArray>> gatecc::readNpz(StringRef path,
                                                       std::string &error) {
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/false,
                                      /*RequiresNullTerminator=*/false);
  std::optional<std::vector<NamedArray>> arrays;
  if (buffer)
    arrays = parseNpz((*buffer)->getBuffer(), error);
  else
    error = "cannot read it: " + buffer.getError().message();
  if (!arrays)
    error = (path + ": " + error).str();
  return arrays;
}

static void append(std::string &out, uint64_t value, unsigned size) {
  for (unsigned i = 0; i < size; ++i)
    out += char(value >> (8 * i));
}

/// What local header and entry of the directory have in common.
static void appendShared(std::string &out, StringRef name, StringRef content) {
  append(out, 20, 2);         // the version that can read it
  append(out, 0, 4);          // no flags, stored
  append(out, 0x00210000, 4); // midnight of 1980-01-01: no time
  append(out,
         crc32_z(0, reinterpret_cast<const Bytef *>(content.data()),
                 content.size()),
         4);
  append(out, content.size(), 4);
  append(out, content.size(), 4);
  append(out, name.size(), 2);
  append(out, 0, 2); // no extra field
}

std::string gatecc::formatNpz(ArrayRef<NamedArray> arrays) {
  std::string out, directory;
  for (const auto &[key, array] : arrays) {
    std::string name = key + ".npy";
    std::string content =
        formatNpy(array.type, array.shape,
                  StringRef(reinterpret_cast<const char *>(array.data.data()),
                            array.data.size()));
    append(directory, kEntry, 4);
    append(directory, 20, 2); // written by version 2.0
    appendShared(directory, name, content);
    append(directory, 0, 8); // no comment, first disk, no attributes
    append(directory, 0, 2);
    append(directory, out.size(), 4);
    directory += name;
    append(out, kLocalHeader, 4);
    appendShared(out, name, content);
    out += name;
    out += content;
  }
  uint64_t begin = out.size();
  out += directory;
  if (out.size() >= kElsewhere || arrays.size() >= 0xffff)
    return "";
  append(out, kEnd, 4);
  append(out, 0, 4);
  append(out, arrays.size(), 2);
  append(out, arrays.size(), 2);
  append(out, directory.size(), 4);
  append(out, begin, 4);
  append(out, 0, 2);
  return out;
}
