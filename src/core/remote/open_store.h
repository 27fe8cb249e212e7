// SPDX-License-Identifier: Apache-2.0
#pragma once
// A store that finds by itself, on the remotes it was pulled from, what is not here.

#include "core/store/store.h"

namespace coldstart {

/// Store::open(), and for chunks that are not here (pulled lazily, or damaged) asks the remotes that the
/// store's origins name. Looks at them when the first such chunk is wanted, not before. `cancel`, if given,
/// must outlive the store: it ends requests that are being waited for.
std::shared_ptr<Store> open_store(const std::filesystem::path& root, const CancelToken* cancel = nullptr);

}  // namespace coldstart
