// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// .npz archives: what is written can be read, and what breaks.
#include "lib/Driver/Npz.h"

#include <gtest/gtest.h>

using namespace gatecc;

static NpyArray bytes(std::string data) {
  NpyArray array;
  array.type = {kDLUInt, 8, 1};
  array.shape = {int64_t(data.size())};
  array.data.assign(data.begin(), data.end());
  return array;
}

static std::string archive() {
  return formatNpz({{"in0.x", bytes("abc")}, {"empty", bytes("")}});
}

TEST(Npz, ReadsWhatItWrites) {
  std::string error;
  auto arrays = parseNpz(archive(), error);
  ASSERT_TRUE(arrays) << error;
  ASSERT_EQ(arrays->size(), 2u);
  EXPECT_EQ((*arrays)[0].first, "in0.x");
  EXPECT_EQ((*arrays)[0].second.data, bytes("abc").data);
  EXPECT_EQ((*arrays)[1].second.shape, std::vector<int64_t>({0}));
  EXPECT_TRUE(parseNpz(formatNpz({}), error)->empty());
}

TEST(Npz, FindsTheEndBeforeAComment) {
  std::string file = archive(), error;
  file[file.size() - 2] = 5; // the length of the comment
  EXPECT_TRUE(parseNpz(file + "words", error)) << error;
}

TEST(Npz, RefusesWhatIsCut) {
  std::string good = archive(), error;
  for (size_t size = 0; size < good.size(); ++size) {
    error.clear();
    EXPECT_FALSE(parseNpz(good.substr(0, size), error)) << size;
    EXPECT_FALSE(error.empty());
  }
}

/// Any byte that is changed: an error, or arrays, but nothing out of bounds.
TEST(Npz, SurvivesWhatIsChanged) {
  std::string good = archive();
  for (size_t at = 0; at < good.size(); ++at)
    for (int value : {0, 1, 8, 0x7f, 0xff}) {
      std::string bad = good, error;
      bad[at] = char(value);
      if (!parseNpz(bad, error))
        EXPECT_FALSE(error.empty());
    }
}

TEST(Npz, ChecksSums) {
  std::string file = archive(), error;
  file[file.find("abc")] = 'x';
  EXPECT_FALSE(parseNpz(file, error));
  EXPECT_EQ(error, "'in0.x': its checksum is wrong");
}
