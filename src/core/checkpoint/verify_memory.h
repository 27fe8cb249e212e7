// SPDX-License-Identifier: Apache-2.0
#pragma once
// Every byte of a snapshot's memory against its digest.

#include "core/checkpoint/memory_map.h"
#include "core/image/image.h"

namespace coldstart {

/// What is corrupt is said to be in the file "memory of process PID".
VerifyResult verify_memory(Store& store, const StoredMap& stored, Operation& op);

}  // namespace coldstart
