// SPDX-License-Identifier: Apache-2.0
#pragma once
// What every long operation is given by its caller.

#include "core/base/cancel.h"
#include "core/base/progress.h"
#include "core/timeline/timeline.h"

namespace coldstart {

/// References only: whoever starts the operation owns all three.
struct Operation {
  CancelToken& cancel;
  Progress& progress;
  Timeline& timeline;
};

}  // namespace coldstart
