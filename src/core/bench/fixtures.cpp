// SPDX-License-Identifier: Apache-2.0
#include "core/bench/fixtures.h"

#include "core/base/progress_task.h"
#include "core/base/workers.h"
#include "core/bench/made_up_tree.h"
#include "core/bench/tools.h"
#include "core/image/source.h"

namespace coldstart {

namespace fs = std::filesystem;

Fixtures::Fixtures(const std::shared_ptr<Store>& store, Replicas& replicas, const BenchInput& input,
                   Operation& op)
    : store_(store),
      replicas_(replicas),
      input_(input),
      op_(op),
      quiet_{op.cancel, no_progress_, timeline_},
      scratch_(store->scratch()) {}

template <class Work>
void Fixtures::prepare(const std::string& what, Work work) {
  const ProgressTask task(op_.progress, "preparing: " + what, 0, Progress::Unit::steps);
  work();
}

const fs::path& Fixtures::tree() {
  if (tree_) return *tree_;
  if (!input_.tree.empty()) {
    tree_ = fs::absolute(input_.tree);
    return *tree_;
  }
  const fs::path folder = scratch("tree");
  if (!input_.image.empty()) {
    const StoredImage& from = image();
    unpack_image(*from.store, open_image(*from.store, read_image_manifest(*from.store, from.digest)), folder,
                 default_jobs(), op_);
  } else {
    prepare("a tree", [&] { make_up_tree(folder, input_.made_up_bytes, op_.cancel); });
  }
  tree_ = folder;
  return *tree_;
}

const StoredImage& Fixtures::image() {
  if (image_) return *image_;
  if (!input_.image.empty()) {
    const Ref ref = store_->resolve(RefKind::image, input_.image);
    lease_ = store_->lease("bench", {{RefKind::image, ref.digest}});
    image_ = {store_, ref.digest};
  } else {
    const std::shared_ptr<Store> own = Store::open(scratch("store"));
    const auto source = open_dir_source(tree());
    const PackStats stats = build_image(own, *source, {}, RefName::parse("bench"), op_);
    image_ = {own, stats.digest};
  }
  return *image_;
}

fs::path Fixtures::squashfs() {
  fs::path file = scratch("tree.squashfs");
  if (!fs::exists(file)) prepare("squashfs", [&] { run_tool(squashfs_command(tree(), file), op_.cancel); });
  return file;
}

fs::path Fixtures::erofs() {
  fs::path file = scratch("tree.erofs");
  if (!fs::exists(file)) prepare("erofs", [&] { run_tool(erofs_command(tree(), file), op_.cancel); });
  return file;
}

fs::path Fixtures::tar_zst() {
  fs::path file = scratch("tree.tar.zst");
  if (!fs::exists(file)) prepare("tar.zst", [&] { run_tool(tar_command(tree(), file), op_.cancel); });
  return file;
}

const SnapshotStart& Fixtures::snapshot() const {
  if (!input_.snapshot) throw Error::usage("this stage needs a snapshot", "--snapshot NAME");
  return *input_.snapshot;
}

const SnapshotCases& Fixtures::snapshot_cases() {
  if (!snapshot_cases_) snapshot_cases_.emplace(store_, replicas_, snapshot(), quiet_);
  return *snapshot_cases_;
}

std::map<std::string, double> Fixtures::parameters() {
  std::map<std::string, double> parameters;
  if (input_.snapshot) parameters = snapshot_cases().parameters();
  if (image_) {
    const ImageManifest manifest = read_image_manifest(*image_->store, image_->digest);
    parameters["image_bytes"] = static_cast<double>(manifest.bytes);
    parameters["image_files"] = static_cast<double>(manifest.files);
  }
  return parameters;
}

std::vector<std::string> squashfs_command(const fs::path& tree, const fs::path& file) {
  return {"mksquashfs",          tree.string(), file.string(), "-comp",        "zstd",
          "-Xcompression-level", "3",           "-quiet",      "-no-progress", "-noappend"};
}

std::vector<std::string> erofs_command(const fs::path& tree, const fs::path& file) {
  return {"mkfs.erofs", "--quiet", "-zlz4", file.string(), tree.string()};
}

std::vector<std::string> tar_command(const fs::path& tree, const fs::path& file) {
  return {"tar", "-I", "zstd -3 -T0", "-C", tree.string(), "-cf", file.string(), "."};
}

}  // namespace coldstart
