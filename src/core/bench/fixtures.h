// SPDX-License-Identifier: Apache-2.0
#pragma once
// What stages are measured on: made once, when a stage first asks for it, shared by all, removed at the end.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "core/bench/cold_start.h"
#include "core/image/image.h"
#include "core/store/store.h"

namespace coldstart {

/// As the user said it.
struct BenchInput {
  std::string image;                            ///< the image to measure on; or
  std::filesystem::path tree;                   ///< this folder; or, both empty,
  uint64_t made_up_bytes = uint64_t{64} << 20;  ///< a made-up tree of about this size
  std::optional<SnapshotStart> snapshot;        ///< for stages that need one
};

/// An image with the store that it is in.
struct StoredImage {
  std::shared_ptr<Store> store;
  Digest digest;
};

/// One thread. Where it is kept: the store's tmp/, so it is on the store's disk, and gc removes what a killed
/// bench left.
class Fixtures {
 public:
  /// References must outlive it; `op` shows what is being made.
  Fixtures(const std::shared_ptr<Store>& store, Replicas& replicas, const BenchInput& input, Operation& op);

  const std::filesystem::path& tree();  ///< a folder, not to be changed
  const StoredImage& image();           ///< of that tree
  std::filesystem::path squashfs();     ///< the same tree, zstd level 3
  std::filesystem::path erofs();        ///< lz4
  std::filesystem::path tar_zst();      ///< zstd level 3
  /// A path for a stage's own use, made for nobody.
  std::filesystem::path scratch(const std::string& name) const { return scratch_.path() / name; }
  /// Throws Error::usage if no snapshot was given.
  const SnapshotStart& snapshot() const;
  const SnapshotCases& snapshot_cases();

  const std::shared_ptr<Store>& store() const { return store_; }
  Replicas& replicas() const { return replicas_; }
  /// For what is timed: cancelled as `op` is, but it shows nothing and records nothing.
  Operation& quiet() { return quiet_; }
  const CancelToken& cancel() const { return op_.cancel; }
  /// For BenchReport::parameters: of the snapshot, if there is one, and of the image, if it was used.
  std::map<std::string, double> parameters();

 private:
  template <class Work>
  void prepare(const std::string& what, Work work);

  const std::shared_ptr<Store> store_;
  Replicas& replicas_;
  const BenchInput& input_;
  Operation& op_;
  NoProgress no_progress_;
  Timeline timeline_;
  Operation quiet_;
  Store::Scratch scratch_;
  std::optional<Store::Lease> lease_;
  std::optional<std::filesystem::path> tree_;
  std::optional<StoredImage> image_;
  std::optional<SnapshotCases> snapshot_cases_;
};

/// The commands that make the baselines' files; also what image.pack times.
std::vector<std::string> squashfs_command(const std::filesystem::path& tree,
                                          const std::filesystem::path& file);
std::vector<std::string> erofs_command(const std::filesystem::path& tree, const std::filesystem::path& file);
std::vector<std::string> tar_command(const std::filesystem::path& tree, const std::filesystem::path& file);

}  // namespace coldstart
