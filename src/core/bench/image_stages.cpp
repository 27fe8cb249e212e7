// SPDX-License-Identifier: Apache-2.0
// The stages of an image, against what others do with the same tree.
#include <unistd.h>

#include "core/base/workers.h"
#include "core/bench/stages.h"
#include "core/bench/tools.h"
#include "core/image/source.h"
#include "core/imagefs/imagefs.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr const char* squashfs_package = "squashfs-tools";
constexpr const char* erofs_package = "erofs-utils";

bool have_squashfs(BenchPart& part) {
  return have_tool("mksquashfs", squashfs_package, "squashfs", part);
}
bool have_erofs(BenchPart& part) {
  return have_tool("mkfs.erofs", erofs_package, "erofs", part);
}
bool have_tar_zst(BenchPart& part) {
  return have_tool("tar", "tar", "tar.zst", part) && have_tool("zstd", "zstd", "tar.zst", part);
}

/// Our mount of an image with its server; unmounted when destroyed.
class ImageMount {
 public:
  ImageMount(const StoredImage& image, const fs::path& folder, const CancelToken& cancel)
      : mount_(folder, "coldstart:bench"),
        server_(start_image_server(mount_, image.store->root(), image.digest, cancel, true)) {}
  ImageMount(const ImageMount&) = delete;
  ~ImageMount() {
    { const FuseMount gone = std::move(mount_); }
    server_.wait_for(std::chrono::seconds(5));
  }

 private:
  FuseMount mount_;
  Child server_;
};

void list_root(const fs::path& folder) {
  if (fs::begin(fs::directory_iterator(folder)) == fs::end(fs::directory_iterator()))
    throw Error("nothing is in " + folder.string() + ", which was just mounted");
}

/// A way to have the tree under a folder: made, and gone again when the handle is.
struct Way {
  std::string name;
  bool baseline;
  std::function<std::shared_ptr<void>(const fs::path& folder)> open;
};

/// Those that mount. Prepares their files.
std::vector<Way> mounts(Fixtures& f, BenchPart& part) {
  std::vector<Way> ways;
  const StoredImage image = f.image();
  ways.push_back({"coldstart", false, [image, &f](const fs::path& folder) {
                    return std::make_shared<ImageMount>(image, folder, f.cancel());
                  }});
  const auto add_loop = [&](const char* type, const fs::path& file) {
    ways.push_back({type, true, [type, file, &f](const fs::path& folder) {
                      return std::make_shared<LoopMount>(type, file, folder, f.cancel());
                    }});
  };
  if (have_squashfs(part)) add_loop("squashfs", f.squashfs());
  if (have_erofs(part)) add_loop("erofs", f.erofs());
  return ways;
}

Case tool_case(const std::string& name, Fixtures& f, const fs::path& made,
               const std::vector<std::string>& argv, bool into_folder) {
  Case result{name, true, timed([argv, &f] { run_tool(argv, f.cancel()); })};
  result.set_up = [made, into_folder] {
    fs::remove_all(made);
    if (into_folder) make_folders(made);
    ::sync();
  };
  result.tear_down = [made] { fs::remove_all(made); };
  return result;
}

}  // namespace

std::vector<Case> image_pack_cases(Fixtures& f, BenchPart& part) {
  const fs::path tree = f.tree();
  const fs::path made = f.scratch("packed");
  Case ours{"coldstart", false, timed([tree, made, &f] {
              const auto source = open_dir_source(tree);
              build_image(Store::open(made), *source, {}, RefName::parse("bench"), f.quiet());
            })};
  ours.set_up = [made] {
    fs::remove_all(made);
    ::sync();
  };
  ours.tear_down = [made] { fs::remove_all(made); };
  std::vector<Case> cases = {ours};
  const fs::path file = f.scratch("packed.file");
  if (have_tar_zst(part)) cases.push_back(tool_case("tar.zst", f, file, tar_command(tree, file), false));
  if (have_squashfs(part))
    cases.push_back(tool_case("squashfs", f, file, squashfs_command(tree, file), false));
  if (have_erofs(part)) cases.push_back(tool_case("erofs", f, file, erofs_command(tree, file), false));
  return cases;
}

std::vector<Case> image_mount_cases(Fixtures& f, BenchPart& part) {
  const fs::path folder = f.scratch("at");
  const auto handle = std::make_shared<std::shared_ptr<void>>();
  std::vector<Case> cases;
  for (const Way& way : mounts(f, part)) {
    Case one{way.name, way.baseline, timed([=] {
               *handle = way.open(folder);
               list_root(folder);
             })};
    one.set_up = [folder] { make_folders(folder); };
    one.tear_down = [handle] { handle->reset(); };
    cases.push_back(std::move(one));
  }
  if (have_tar_zst(part)) {
    const fs::path unpacked = f.scratch("unpacked");
    cases.push_back(tool_case("tar.zst unpacked", f, unpacked,
                              {"tar", "-I", "zstd", "-xf", f.tar_zst().string(), "-C", unpacked.string()},
                              true));
  }
  return cases;
}

std::vector<Case> image_read_cases(Fixtures& f, BenchPart& part) {
  const fs::path folder = f.scratch("at");
  const auto handle = std::make_shared<std::shared_ptr<void>>();
  std::vector<Case> cases;
  for (const Way& way : mounts(f, part)) {
    Case one{way.name, way.baseline, timed([folder, &f] { read_tree(folder, f.cancel()); })};
    one.set_up = [=] {
      make_folders(folder);
      *handle = way.open(folder);
    };
    one.tear_down = [handle] { handle->reset(); };
    cases.push_back(std::move(one));
  }
  cases.push_back({"folder", true, timed([tree = f.tree(), &f] { read_tree(tree, f.cancel()); })});
  return cases;
}

std::vector<Case> image_unpack_cases(Fixtures& f, BenchPart& part) {
  const fs::path made = f.scratch("unpacked");
  const StoredImage image = f.image();
  Case ours{"coldstart", false, timed([image, made, &f] {
              Store& store = *image.store;
              unpack_image(store, open_image(store, read_image_manifest(store, image.digest)), made,
                           default_jobs(), f.quiet());
            })};
  ours.set_up = [made] {
    fs::remove_all(made);
    ::sync();
  };
  ours.tear_down = [made] { fs::remove_all(made); };
  std::vector<Case> cases = {ours};
  if (have_tar_zst(part))
    cases.push_back(tool_case("tar.zst", f, made,
                              {"tar", "-I", "zstd", "-xf", f.tar_zst().string(), "-C", made.string()}, true));
  if (have_squashfs(part) && have_tool("unsquashfs", squashfs_package, "squashfs", part))
    cases.push_back(tool_case(
        "squashfs", f, made,
        {"unsquashfs", "-quiet", "-no-progress", "-d", made.string(), f.squashfs().string()}, false));
  if (have_erofs(part) && have_tool("fsck.erofs", erofs_package, "erofs", part))
    cases.push_back(
        tool_case("erofs", f, made, {"fsck.erofs", "--extract=" + made.string(), f.erofs().string()}, false));
  return cases;
}

}  // namespace coldstart
