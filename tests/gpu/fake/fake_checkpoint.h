// SPDX-License-Identifier: Apache-2.0
#pragma once
// This process as one that controls others: cuCheckpointProcess*.

#include "fake_types.h"

namespace fake {

inline bool initialized = false;  // by cuInit

CUresult process_lock(int pid, CUcheckpointLockArgs* args);
CUresult process_checkpoint(int pid, void*);
CUresult process_restore(int pid, CUcheckpointRestoreArgs* args);
CUresult process_unlock(int pid, void*);
CUresult process_state(int pid, int* state);
CUresult process_restore_thread(int pid, int* tid);

}  // namespace fake
