// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What `gatecc verify` says when two forms of a network do not agree.
#include "lib/Driver/VerifyFindings.h"

#include <cstring>
#include <gtest/gtest.h>

using namespace gatecc;

static NpyArray floats(std::vector<int64_t> shape, std::vector<float> values) {
  NpyArray array;
  array.shape = std::move(shape);
  array.data.resize(values.size() * sizeof(float));
  std::memcpy(array.data.data(), values.data(), array.data.size());
  return array;
}

static NpyArray ids(std::vector<int64_t> values) {
  NpyArray array;
  array.type = {kDLInt, 64, 1};
  array.shape = {int64_t(values.size()), 1};
  array.data.resize(values.size() * sizeof(int64_t));
  std::memcpy(array.data.data(), values.data(), array.data.size());
  return array;
}

static LibraryRun runOf(NpyArray y) {
  LibraryRun run;
  run.outputs.emplace_back("y", std::move(y));
  return run;
}

/// Two rows that choose one of two experts; the unraised form has chosen 0 and
/// 1, between scores that are `gap` apart.
static std::string compare(std::vector<int64_t> groups, std::vector<float> y,
                           float gap, bool &differ) {
  std::vector<ExposedDecision> decisions = {{"top", {"s"}, "d"}};
  LibraryRun raised = runOf(floats({2, 1}, std::move(y))),
             plain = runOf(floats({2, 1}, {1, 2}));
  raised.sites.push_back({"top", "experts", std::move(groups)});
  plain.outputs.emplace_back("s", floats({2, 2}, {1 + gap, 1, 0, 5}));
  plain.outputs.emplace_back("d", ids({0, 1}));
  VerifyFindings findings(decisions);
  VerifyCase one;
  one.name = "case 0";
  findings.beginCase(one, plain);
  findings.compareForms(raised, plain);
  differ = findings.differ();
  return findings.finish(1, {});
}

static bool has(const std::string &text, const char *part) {
  return text.find(part) != std::string::npos;
}

TEST(VerifyFindings, TheSame) {
  bool differ;
  std::string text = compare({1, 1}, {1, 2}, 1, differ);
  EXPECT_FALSE(differ);
  EXPECT_TRUE(has(text, "raised and unraised: the same")) << text;
}

TEST(VerifyFindings, ADecisionThatDiffersIsAFailure) {
  bool differ;
  std::string text = compare({0, 2}, {7, 2}, 1, differ);
  EXPECT_TRUE(differ);
  EXPECT_TRUE(has(text, "DIFFERENT: output 'y': 1 of 2 rows")) << text;
  EXPECT_TRUE(has(text, "first site concerned: 'top' (experts) decides "
                        "otherwise for 1 rows or more, 0 are close calls"))
      << text;
  text = compare({0, 2}, {1, 2}, 1, differ);
  EXPECT_TRUE(differ) << "though values are the same";
}

TEST(VerifyFindings, ACloseCallIsNone) {
  bool differ;
  std::string text = compare({0, 2}, {7, 2}, 1e-4f, differ);
  EXPECT_FALSE(differ);
  EXPECT_TRUE(has(text, "after a close call: output 'y'")) << text;
  EXPECT_TRUE(has(text, "0 different, 1 after close calls")) << text;
}

TEST(VerifyFindings, ValuesWithoutADecision) {
  bool differ;
  std::string text = compare({1, 1}, {7, 2}, 1, differ);
  EXPECT_TRUE(differ);
  EXPECT_TRUE(has(text, "no site decides otherwise; the first one is 'top'"))
      << text;
  compare({1, 1}, {7, 7}, 1e-4f, differ);
  EXPECT_TRUE(differ) << "more rows than close calls";
}

TEST(VerifyFindings, Refusals) {
  LibraryRun good = runOf(floats({1}, {1})), bad;
  bad.status = GATECC_RUNTIME;
  bad.error = "node 'g': an index is out of range";
  auto compare = [](const LibraryRun &raised, const LibraryRun &plain) {
    VerifyFindings findings({});
    findings.compareForms(raised, plain);
    return findings.differ();
  };
  EXPECT_FALSE(compare(bad, bad));
  EXPECT_FALSE(compare(good, bad)) << "what is skipped cannot fail";
  EXPECT_TRUE(compare(bad, good));
}
