// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Statistics of the last run: rows, groups and skipped work of each site.

#include "context.h"

#include <stdio.h>

using namespace gatecc_runtime;

static const gatecc_program &program = gatecc_program_constant;

int64_t gatecc_runtime::groupsOf(const gatecc_program_site &site) {
  return site.num_groups >= 0 ? site.num_groups : GATECC_DYNAMIC_GROUPS;
}

gatecc_status gatecc_runtime::enableStatistics(gatecc_context *context,
                                               int32_t enabled) {
  if (!context)
    return GATECC_INVALID_ARGUMENT;
  context->message[0] = 0;
  context->collectStatistics = enabled != 0;
  return GATECC_OK;
}

gatecc_status gatecc_runtime::siteStatistics(gatecc_context *context,
                                             int32_t site, int64_t *rows,
                                             const int64_t **groups,
                                             int32_t *numGroups,
                                             double *skipped) {
  if (!context)
    return GATECC_INVALID_ARGUMENT;
  context->message[0] = 0;
  if (site < 0 || site >= program.num_sites) {
    snprintf(context->message, sizeof context->message,
             "there is no site %d: the model has %d", site, program.num_sites);
    return GATECC_INVALID_ARGUMENT;
  }
  if (!context->statisticsValid) {
    snprintf(context->message, sizeof context->message,
             "the last run did not collect statistics: enable them, then run");
    return GATECC_INVALID_ARGUMENT;
  }
  const int64_t *counts = context->siteGroups;
  for (int32_t i = 0; i < site; ++i)
    counts += groupsOf(program.sites[i]);
  const gatecc_program_site &s = program.sites[site];
  int64_t total = context->siteRows[site];
  int64_t n = groupsOf(s);
  double fullCost = s.full_cost;
  if (s.num_groups < 0) {
    while (n > 0 && counts[n - 1] == 0)
      --n;
    fullCost = static_cast<double>(n);
  }
  double done = 0;
  for (int64_t i = 0; i < n; ++i) {
    double cost =
        s.num_groups < 0 ? static_cast<double>(i + 1) : s.group_cost[i];
    done += static_cast<double>(counts[i]) * cost;
  }
  double all = static_cast<double>(total) * fullCost;
  if (rows)
    *rows = total;
  if (groups)
    *groups = counts;
  if (numGroups)
    *numGroups = static_cast<int32_t>(n);
  if (skipped)
    *skipped = all > 0 ? 1.0 - done / all : 0.0;
  return GATECC_OK;
}
