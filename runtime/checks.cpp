// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How a run ends when sizes that come out of data do not fit together.

#include "context.h"
#include "kernels.h"

#include <inttypes.h>
#include <stdio.h>

extern "C" void gatecc_fail_check(const gatecc_frame *f, const char *message,
                                  int64_t first, int64_t second) {
  char text[512];
  size_t length = 0;
  for (const char *p = message; *p && length + 1 < sizeof text;) {
    if (p[0] == '{' && (p[1] == '0' || p[1] == '1') && p[2] == '}') {
      int written = snprintf(text + length, sizeof text - length, "%" PRId64,
                             p[1] == '0' ? first : second);
      length += static_cast<size_t>(written > 0 ? written : 0);
      if (length > sizeof text - 1)
        length = sizeof text - 1;
      p += 3;
    } else {
      text[length++] = *p++;
    }
  }
  text[length] = 0;
  gatecc_fail(f, GATECC_RUNTIME, text);
  gatecc_check_cancelled(f);
}
