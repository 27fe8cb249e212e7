// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/remote/remote.h"

namespace coldstart {

/// How to follow each kind of manifest: the one place that knows them all.
ManifestWalkers manifest_walkers();
/// The same with what is metadata, for push and pull.
ContentWalkers content_walkers();

}  // namespace coldstart
