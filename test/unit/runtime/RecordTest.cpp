// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What compiled code records of its decisions.

#include "kernels.h"

#include <gtest/gtest.h>

#include <vector>

namespace {
using Counts = std::vector<int64_t>;

/// Statistics of two sites with four groups each, of which the second one is
/// recorded; the first one must stay at zero.
class RecordTest : public testing::Test {
protected:
  RecordTest() {
    frame.site_rows = rows.data();
    frame.site_groups = groups.data();
  }

  void plan(const std::vector<int32_t> &offsets, int64_t count) {
    gatecc_record_plan(&frame, 1, 4, offsets.data(), offsets.size() - 1, count);
  }
  /// An exit of `leaving` out of `live + leaving` rows.
  void exit(int64_t level, int32_t live, int32_t leaving) {
    const int32_t offsets[] = {0, live, live + leaving};
    gatecc_record_exit(&frame, 1, 4, level, offsets, live + leaving);
  }
  void expect(int64_t count, const Counts &expected) {
    EXPECT_EQ(rows, (Counts{0, count}));
    Counts all(4);
    all.insert(all.end(), expected.begin(), expected.end());
    EXPECT_EQ(groups, all);
  }

  Counts rows = Counts(2), groups = Counts(8);
  gatecc_frame frame = {};
};
} // namespace

TEST_F(RecordTest, PlanCountsItsGroups) {
  plan({0, 2, 2, 5, 6}, 3);
  expect(3, {2, 0, 3, 1});
}

TEST_F(RecordTest, ChoicesCountTheirGroups) {
  const int64_t ids[] = {3, 0, 0, -1, 2, 4, int64_t(1) << 32, 0};
  gatecc_record_choices(&frame, 1, 4, ids, 2, 4, 4);
  expect(4, {3, 0, 1, 1});
}

TEST_F(RecordTest, PlanWithoutRows) {
  plan({0, 0, 0, 0, 0}, 0);
  expect(0, {0, 0, 0, 0});
}

TEST_F(RecordTest, PlanWithFewerGroupsLeavesTheOthers) {
  plan({0, 1, 4}, 4);
  expect(4, {1, 3, 0, 0});
}

TEST_F(RecordTest, PlansOfALoopAdd) {
  plan({0, 2, 2, 5, 6}, 3);
  plan({0, 0, 4, 4, 4}, 2);
  expect(5, {2, 4, 3, 1});
}

TEST_F(RecordTest, FirstExit) {
  exit(0, /*live=*/7, /*leaving=*/3);
  expect(10, {3, 7, 0, 0});
}

TEST_F(RecordTest, ExitsNest) {
  exit(0, 7, 3);
  exit(1, 5, 2); // of the 7 rows
  exit(2, 0, 5); // nobody goes on
  expect(10, {3, 2, 5, 0});
}

TEST_F(RecordTest, ExitsInReverseOrder) {
  // What is live after the first exit is known only when it is recorded.
  exit(1, 5, 2);
  exit(0, 7, 3);
  expect(10, {3, 2, 5, 0});
}

TEST_F(RecordTest, ExitsWithoutRows) {
  exit(0, 0, 0);
  exit(1, 0, 0);
  expect(0, {0, 0, 0, 0});
}

TEST_F(RecordTest, HaltCountsTheLastStepOfEachRow) {
  groups.resize(4 + GATECC_DYNAMIC_GROUPS);
  frame.site_groups = groups.data();
  auto step = [&](int64_t number, int32_t running) {
    const int32_t offsets[] = {0, running, 9};
    gatecc_record_halt(&frame, 1, 4, number, offsets, 9);
  };
  step(0, 9);
  step(1, 6); // three have stopped
  step(2, 6);
  step(3, 1);
  Counts expected(GATECC_DYNAMIC_GROUPS);
  expected[0] = 3;
  expected[2] = 5;
  expected[3] = 1;
  expect(9, expected);
  // There is room for so many steps; those that follow count as the last one.
  for (int64_t number = 4; number < 2 * GATECC_DYNAMIC_GROUPS; ++number)
    step(number, 1);
  expected[3] = 0;
  expected.back() = 1;
  expect(9, expected);
  // The loop is run again.
  step(0, 9);
  expected[0] += 9;
  expect(18, expected);
}

TEST_F(RecordTest, NothingWithoutStatistics) {
  frame.site_rows = nullptr;
  plan({0, 2, 2, 5, 6}, 3);
  exit(0, 7, 3);
  expect(0, {0, 0, 0, 0});
}
