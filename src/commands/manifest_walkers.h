// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/store/store.h"

namespace coldstart {

/// How to follow each kind of manifest: the one place that knows them all.
ManifestWalkers manifest_walkers();

}  // namespace coldstart
