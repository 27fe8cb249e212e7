// SPDX-License-Identifier: Apache-2.0
// What clients of a pool send, and traces of arrivals.

#include <cmath>
#include <cstdlib>

#include "core/pool/api.h"
#include "core/pool/arrivals.h"

using namespace coldstart;

namespace {

template <class Use>
void use(Exit wanted, Use how) {
  try {
    how();
  } catch (const Error& e) {
    if (e.exit() != wanted) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  use(Exit::usage, [&] { parse_claim(text); });
  use(Exit::usage, [&] { parse_release(text); });
  use(Exit::usage, [&] { parse_stop(text); });
  use(Exit::corrupt, [&] {
    double last = 0;
    for (const double time : parse_arrivals(text, "it")) {
      if (!(time >= last)) std::abort();
      last = time;
    }
  });
  return 0;
}
