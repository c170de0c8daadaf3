// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Weights in a file: found beside the program, verified, shared, refused.

#include "context.h"
#include "gatecc/runtime.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

// Weights of 1000 bytes, i * 7 mod 256.
static constexpr size_t kBytes = 1000;
static char hashText[17];

static const unsigned char *seenWeights;
static int32_t run(const gatecc_frame *f) {
  seenWeights = f->weights;
  return 0;
}
static int64_t arenaBytes(const int64_t *) { return 0; }
static const gatecc_program_target targets[] = {
    {"x86-64", 0, run, arenaBytes, 0}};

extern "C" const gatecc_program gatecc_program_constant = {
    "0.1",   "m",     "00",    kBytes,
    0,       0,       0,       0,
    1,       nullptr, nullptr, nullptr,
    nullptr, targets, nullptr, "RuntimeWeightsTests.weights",
    hashText};

namespace {
std::string besideProgram() {
  char path[4096];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  std::string exe(path, size_t(n));
  return exe.substr(0, exe.rfind('/') + 1) + "RuntimeWeightsTests.weights";
}

std::string goodFile() {
  std::string data(kBytes, 0);
  for (size_t i = 0; i < kBytes; ++i)
    data[i] = char(i * 7);
  gatecc_weights_header header = {};
  std::memcpy(header.magic, GATECC_WEIGHTS_MAGIC, 8);
  header.version = GATECC_WEIGHTS_VERSION;
  header.start = GATECC_WEIGHTS_START;
  header.data_bytes = kBytes;
  header.hash = gatecc_runtime::hashBytes(
      reinterpret_cast<const unsigned char *>(data.data()), kBytes);
  std::snprintf(hashText, sizeof hashText, "%016llx",
                static_cast<unsigned long long>(header.hash));
  std::string file(GATECC_WEIGHTS_START, 0);
  std::memcpy(&file[0], &header, sizeof header);
  return file + data;
}

void write(const std::string &path, const std::string &contents) {
  std::ofstream(path, std::ios::binary) << contents;
}

struct Created {
  gatecc_status status;
  std::string message;
};

Created create(const char *path = nullptr, bool skipVerification = false) {
  const gatecc_library *library = gatecc_get_library(GATECC_ABI_VERSION);
  char message[400] = "";
  gatecc_options options = {};
  options.struct_size = sizeof options;
  options.num_threads = 1;
  options.weights_path = path;
  options.skip_weight_verification = skipVerification;
  options.error_message = message;
  options.error_message_bytes = sizeof message;
  gatecc_context *context;
  gatecc_status status = library->create(&options, &context);
  if (status == GATECC_OK) {
    seenWeights = nullptr;
    EXPECT_EQ(library->run(context, nullptr, 0, nullptr, 0), GATECC_OK);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(seenWeights) % 4096, 0u);
    EXPECT_EQ(seenWeights[999], static_cast<unsigned char>(999 * 7));
    library->destroy(context);
  }
  return {status, message};
}

class Weights : public testing::Test {
protected:
  void SetUp() override { write(path, good); }
  void TearDown() override { std::remove(path.c_str()); }
  void refuse(const std::string &contents, const char *reason) {
    write(path, contents);
    Created c = create();
    EXPECT_EQ(c.status, GATECC_WEIGHTS);
    EXPECT_NE(c.message.find(reason), std::string::npos) << c.message;
    EXPECT_NE(c.message.find("/RuntimeWeightsTests.weights'"),
              std::string::npos)
        << c.message;
  }
  std::string path = besideProgram();
  std::string good = goodFile();
};
} // namespace

TEST(Hash, KnownValues) {
  auto hash = [](const std::string &s) {
    return gatecc_runtime::hashBytes(
        reinterpret_cast<const unsigned char *>(s.data()), s.size());
  };
  EXPECT_EQ(hash(""), 0xEF46DB3751D8E999u);
  EXPECT_EQ(hash("a"), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(hash("abc"), 0x44BC2CF5AD770999u);
  EXPECT_EQ(hash("Nobody inspects the spammish repetition"),
            0xFBCEA83C8A378BF1u);
}

TEST_F(Weights, FoundBesideTheLibrary) {
  EXPECT_STREQ(gatecc_get_library(1)->weights_file,
               "RuntimeWeightsTests.weights");
  EXPECT_EQ(create().status, GATECC_OK);
}

TEST_F(Weights, GivenByPath) {
  std::string other = path + ".moved";
  std::rename(path.c_str(), other.c_str());
  EXPECT_EQ(create(other.c_str()).status, GATECC_OK);
  Created missing = create();
  EXPECT_EQ(missing.status, GATECC_WEIGHTS);
  EXPECT_NE(missing.message.find("there is no such file"), std::string::npos);
  std::remove(other.c_str());
}

TEST_F(Weights, Refused) {
  refuse("", "too short to be a weight file");
  refuse(good.substr(0, 20), "too short to be a weight file");
  refuse(good.substr(0, good.size() - 1), "too short; copy it again");
  std::string bad = good;
  bad[0] = 'X';
  refuse(bad, "not a weight file");
  bad = good;
  bad[8] = 2;
  refuse(bad, "a format that this library does not know");
  bad = good;
  bad[16] ^= 1; // the size
  refuse(bad, "belongs to another library");
  bad = good;
  bad[24] ^= 1; // the hash
  refuse(bad, "belongs to another library");
  bad = good;
  bad[4096 + 10] ^= 1;
  refuse(bad, "damaged");
  EXPECT_EQ(create(nullptr, /*skipVerification=*/true).status, GATECC_OK);
  Created folder = create("/");
  EXPECT_EQ(folder.status, GATECC_WEIGHTS);
  EXPECT_NE(folder.message.find("not a regular file"), std::string::npos);
}

TEST_F(Weights, SharedByContexts) {
  const gatecc_library *library = gatecc_get_library(GATECC_ABI_VERSION);
  gatecc_context *a, *b;
  ASSERT_EQ(library->create(nullptr, &a), GATECC_OK);
  ASSERT_EQ(library->run(a, nullptr, 0, nullptr, 0), GATECC_OK);
  const unsigned char *first = seenWeights;
  std::remove(path.c_str()); // the mapping stays
  ASSERT_EQ(library->create(nullptr, &b), GATECC_OK);
  library->destroy(a);
  ASSERT_EQ(library->run(b, nullptr, 0, nullptr, 0), GATECC_OK);
  EXPECT_EQ(seenWeights, first);
  EXPECT_EQ(seenWeights[3], 21);
  library->destroy(b);
}
