// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/replica_image.h"

namespace coldstart {

ReplicaImage::ReplicaImage(const std::filesystem::path& folder, const std::filesystem::path& store,
                           const Digest& image, const MountOptions& options, const CancelToken& cancel) {
  if (options.record.empty()) {
    shared_.emplace(folder, store, image, options, cancel);
    return;
  }
  own_.emplace(folder, "coldstart:" + image.text());
  server_ = start_image_server(*own_, store, image, cancel, true, options);
}

void ReplicaImage::watch() {
  if (shared_) shared_->watch();
}

std::string ReplicaImage::lose() {
  if (shared_) return shared_->why_lost();
  const ExitState exit = server_.wait();
  own_.reset();
  return exit.text();
}

}  // namespace coldstart
