// SPDX-License-Identifier: Apache-2.0
#include "commands/manifest_walkers.h"

#include "core/checkpoint/manifest.h"
#include "core/image/image.h"

namespace coldstart {

ManifestWalkers manifest_walkers() {
  return {{RefKind::image, walk_image}, {RefKind::snapshot, walk_snapshot}};
}

ContentWalkers content_walkers() {
  return {manifest_walkers(),
          {{RefKind::image, walk_image_metadata}, {RefKind::snapshot, walk_snapshot_metadata}}};
}

}  // namespace coldstart
