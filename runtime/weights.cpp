// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The weights of a library: in it, or in a file beside it that all contexts
// share, mapped read-only and verified.

#include "context.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace gatecc_runtime;

static_assert(sizeof(gatecc_weights_header) == 32, "the header of the file");

// --- XXH64 -------------------------------------------------------------------

namespace {
constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87u;
constexpr uint64_t kPrime2 = 0xC2B2AE3D27D4EB4Fu;
constexpr uint64_t kPrime3 = 0x165667B19E3779F9u;
constexpr uint64_t kPrime4 = 0x85EBCA77C2B2AE63u;
constexpr uint64_t kPrime5 = 0x27D4EB2F165667C5u;

template <typename T> T read(const unsigned char *p) {
  T value;
  memcpy(&value, p, sizeof value);
  return value;
}

uint64_t rotate(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

uint64_t mixLane(uint64_t lane, uint64_t input) {
  return rotate(lane + input * kPrime2, 31) * kPrime1;
}

uint64_t merge(uint64_t hash, uint64_t lane) {
  return (hash ^ mixLane(0, lane)) * kPrime1 + kPrime4;
}
} // namespace

uint64_t gatecc_runtime::hashBytes(const unsigned char *p, uint64_t bytes) {
  const unsigned char *end = p + bytes;
  uint64_t hash = kPrime5;
  if (bytes >= 32) {
    uint64_t a = kPrime1 + kPrime2, b = kPrime2, c = 0, d = 0 - kPrime1;
    for (; end - p >= 32; p += 32) {
      a = mixLane(a, read<uint64_t>(p));
      b = mixLane(b, read<uint64_t>(p + 8));
      c = mixLane(c, read<uint64_t>(p + 16));
      d = mixLane(d, read<uint64_t>(p + 24));
    }
    hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    hash = merge(merge(merge(merge(hash, a), b), c), d);
  }
  hash += bytes;
  for (; end - p >= 8; p += 8)
    hash = rotate(hash ^ mixLane(0, read<uint64_t>(p)), 27) * kPrime1 + kPrime4;
  if (end - p >= 4) {
    hash = rotate(hash ^ read<uint32_t>(p) * kPrime1, 23) * kPrime2 + kPrime3;
    p += 4;
  }
  for (; p < end; ++p)
    hash = rotate(hash ^ *p * kPrime5, 11) * kPrime1;
  hash = (hash ^ hash >> 33) * kPrime2;
  hash = (hash ^ hash >> 29) * kPrime3;
  return hash ^ hash >> 32;
}

// --- The mapping
// ---------------------------------------------------------------

namespace {
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
unsigned char *mapping; // the whole file
size_t mappingBytes;
int64_t users; // contexts that hold it

// The path of the file beside this library; to be freed.
char *pathBesideLibrary(const char *baseName) {
  Dl_info info;
  const void *here = reinterpret_cast<const void *>(&gatecc_get_library);
  if (!dladdr(here, &info) || !info.dli_fname)
    return nullptr;
  const char *slash = strrchr(info.dli_fname, '/');
  int directory = slash ? static_cast<int>(slash - info.dli_fname) + 1 : 0;
  size_t bytes = static_cast<size_t>(directory) + strlen(baseName) + 1;
  char *path = static_cast<char *>(malloc(bytes));
  if (path)
    snprintf(path, bytes, "%.*s%s", directory, info.dli_fname, baseName);
  return path;
}

uint64_t parseHash(const char *text) {
  uint64_t hash = 0;
  for (; *text; ++text)
    hash = hash << 4 |
           static_cast<uint64_t>(*text <= '9' ? *text - '0'
                                              : (*text | 0x20) - 'a' + 10);
  return hash;
}

struct Failure {
  gatecc_status status;
  char *message;
  size_t bytes;
};

// Maps `path` and checks it. False: `failure` is filled in.
bool mapFile(const gatecc_program &program, const char *path, bool verify,
             Failure &failure) {
  auto fail = [&](const char *reason) {
    snprintf(failure.message, failure.bytes, "weight file '%s': %s", path,
             reason);
    failure.status = GATECC_WEIGHTS;
    return false;
  };
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return fail(errno == ENOENT ? "there is no such file; it belongs beside "
                                  "the library, or give weights_path"
                                : "it cannot be opened for reading");
  gatecc_weights_header header;
  struct stat status;
  uint64_t needed = program.weight_bytes + GATECC_WEIGHTS_START;
  const char *reason = nullptr;
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode))
    reason = "it is not a regular file";
  else if (status.st_size < static_cast<int64_t>(sizeof header) ||
           pread(file, &header, sizeof header, 0) !=
               static_cast<ssize_t>(sizeof header))
    reason = "it is too short to be a weight file";
  else if (memcmp(header.magic, GATECC_WEIGHTS_MAGIC, sizeof header.magic) != 0)
    reason = "it is not a weight file of gatecc";
  else if (header.version != GATECC_WEIGHTS_VERSION ||
           header.start != GATECC_WEIGHTS_START)
    reason = "it has a format that this library does not know";
  else if (header.data_bytes != program.weight_bytes ||
           header.hash != parseHash(program.weights_hash))
    reason = "it belongs to another library";
  else if (static_cast<uint64_t>(status.st_size) < needed)
    reason = "it is too short; copy it again";
  if (reason) {
    close(file);
    return fail(reason);
  }
  void *data =
      mmap(nullptr, needed, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, file, 0);
  close(file);
  if (data == MAP_FAILED) {
    fail("it cannot be mapped into memory");
    failure.status = GATECC_OUT_OF_MEMORY;
    return false;
  }
  unsigned char *base = static_cast<unsigned char *>(data);
  if (verify && hashBytes(base + GATECC_WEIGHTS_START, program.weight_bytes) !=
                    header.hash) {
    munmap(data, needed);
    return fail("its contents are damaged (the hash is another); copy it "
                "again");
  }
  mapping = base;
  mappingBytes = needed;
  return true;
}
} // namespace

const unsigned char *
gatecc_runtime::acquireWeights(const gatecc_program &program, const char *path,
                               bool verify, gatecc_status *status,
                               char *message, size_t messageBytes) {
  if (program.embedded_weights || !program.weights_file) {
    // A network without weights gets an address all the same.
    static const unsigned char none[64] __attribute__((aligned(64))) = {0};
    return program.embedded_weights ? program.embedded_weights : none;
  }
  pthread_mutex_lock(&mutex);
  Failure failure = {GATECC_OK, message, messageBytes};
  bool mapped = mapping != nullptr;
  if (!mapped) {
    char *own = path ? nullptr : pathBesideLibrary(program.weights_file);
    if (!path && !own) {
      snprintf(message, messageBytes,
               "weight file '%s': the folder of the library is unknown; give "
               "weights_path",
               program.weights_file);
      failure.status = GATECC_WEIGHTS;
    } else {
      mapped = mapFile(program, path ? path : own, verify, failure);
    }
    free(own);
  }
  if (mapped)
    ++users;
  const unsigned char *data = mapped ? mapping + GATECC_WEIGHTS_START : nullptr;
  pthread_mutex_unlock(&mutex);
  *status = failure.status;
  return data;
}

void gatecc_runtime::releaseWeights(const gatecc_program &program) {
  if (program.embedded_weights || !program.weights_file)
    return;
  pthread_mutex_lock(&mutex);
  if (--users == 0) {
    munmap(mapping, mappingBytes);
    mapping = nullptr;
  }
  pthread_mutex_unlock(&mutex);
}
