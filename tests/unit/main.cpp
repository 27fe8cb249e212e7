// SPDX-License-Identifier: Apache-2.0
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

// Some tests fork processes that start threads; by then a test before them may have left one in this process
// (the fake driver's), which the thread sanitizer takes for a mistake.
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() {  // NOLINT(bugprone-reserved-identifier): its name
  return "die_after_fork=0";
}

// An exception that a future hands to several threads is freed by the last of them; the count that orders
// this is in libstdc++, where the sanitizer does not see it. doctest is the one that reads it.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {  // NOLINT(bugprone-reserved-identifier): its name
  return "race:translateActiveException\n";
}
