# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The plan: a partition of rows into groups, as one stable counting sort.
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Plan:
    """Rows [T], each making k choices among G groups, as S <= T*k slots.

    Slots are ordered by group, then source row, then choice rank.
    """

    groups: int
    offsets: np.ndarray  # [G+1]: where each group's slots begin
    source: np.ndarray  # [S]: the source row of each slot
    inverse: np.ndarray  # [T,k]: the slot of each (row, choice), -1 where dropped
    weight: np.ndarray | None  # [T,k]: None stands for 1

    @staticmethod
    def build(ids, groups, weight=None):
        """ids [T,k]: the group of each choice; one outside [0, groups) is dropped."""
        ids = np.asarray(ids)
        rows, choices = ids.shape
        kept = (ids >= 0) & (ids < groups)
        flat = np.flatnonzero(kept.ravel())  # in order of row, then choice rank
        order = flat[np.argsort(ids.ravel()[flat], kind="stable")]
        counts = np.bincount(ids.ravel()[flat], minlength=groups)
        inverse = np.full(rows * choices, -1)
        inverse[order] = np.arange(len(order))
        return Plan(
            groups,
            np.concatenate([[0], np.cumsum(counts)]),
            order // max(choices, 1),
            inverse.reshape(rows, choices),
            None if weight is None else np.asarray(weight, np.float64),
        )

    @property
    def slots(self):
        return len(self.source)

    @property
    def counts(self):
        """Slots per group: what the statistics call `groups`."""
        return np.diff(self.offsets)

    def rows_of(self, group):
        return self.source[self.offsets[group] : self.offsets[group + 1]]

    def ids(self):
        """[T,k]: the group of each choice, -1 where dropped."""
        group_of_slot = np.repeat(np.arange(self.groups), self.counts)
        if not self.slots:
            return np.full(self.inverse.shape, -1)
        return np.where(self.inverse < 0, -1, group_of_slot[self.inverse])
