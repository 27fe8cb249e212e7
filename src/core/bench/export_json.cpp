// SPDX-License-Identifier: Apache-2.0
#include "core/bench/export.h"

namespace coldstart {

/// What --baseline and `bench plot` read again.
std::string export_json(const BenchReport& report) {
  return report.to_json().dump(2) + "\n";
}

}  // namespace coldstart
