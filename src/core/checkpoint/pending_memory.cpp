// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/pending_memory.h"

#include <algorithm>

#include "core/base/process_memory.h"
#include "core/base/process_tree.h"

namespace coldstart {

namespace {

bool is_pending(pid_t pid) {
  bool pending = false;
  visit_mappings(pid, [&](const ProcessMapping& mapping) {
    pending = !mapping.of_file && mapping.missing_asked;
    return !pending;
  });
  return pending;
}

}  // namespace

bool has_pending_memory(pid_t root) {
  const auto tree = process_tree(root);
  return std::any_of(tree.begin(), tree.end(), is_pending);
}

}  // namespace coldstart
