// SPDX-License-Identifier: Apache-2.0
// An image back onto a file system. One thread walks and makes the names; others fill the files in behind
// it. Every name is made relative to its folder's descriptor and none is followed, so nothing outside of the
// target is ever reached. A folder gets its metadata when the walk leaves it, when no more names are made
// in it.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <unordered_map>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/progress_task.h"
#include "core/base/workers.h"
#include "core/image/folder_stack.h"
#include "core/image/frame_cache.h"
#include "core/image/image.h"
#include "core/image/path.h"
#include "core/image/restore_metadata.h"
#include "core/image/walk.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr size_t batch_bytes = size_t{4} << 20;  // work is handed to threads in pieces of about this size
constexpr size_t batch_files = 64;               // each has a descriptor open
constexpr size_t zero_block = 4096;

/// The folder to unpack into: empty at first, emptied again (and removed, if it was made here) unless kept.
class Target {
 public:
  explicit Target(fs::path folder) : folder_(std::move(folder)) {
    if (::mkdir(folder_.c_str(), 0700) == 0)
      made_ = true;
    else if (errno != EEXIST)
      throw Error::sys("cannot create the folder " + folder_.string());
    if (made_) return;
    std::error_code error;
    const fs::directory_iterator first(folder_, error);
    if (error) throw Error::sys(error.value(), "cannot unpack into " + folder_.string());
    if (first != fs::directory_iterator())
      throw Error("the folder " + folder_.string() + " is not empty", "unpack into a new one");
  }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  ~Target() {
    if (kept_) return;
    std::error_code error;
    if (made_) {
      fs::remove_all(folder_, error);
    } else {
      for (const auto& entry : fs::directory_iterator(folder_, error)) fs::remove_all(entry.path(), error);
    }
    if (error) log::warn("cannot remove what was unpacked in {}: {}", folder_.string(), error.message());
  }
  void keep() { kept_ = true; }

 private:
  fs::path folder_;
  bool made_ = false;
  bool kept_ = false;
};

/// A file that is being filled. Whoever fills its last piece gives it its metadata.
struct OpenFile {
  Fd fd;
  const InodeRecord& inode;
  std::string path;
  std::atomic<size_t> pieces;
};

struct Piece {
  std::shared_ptr<OpenFile> file;
  std::span<const ExtentRecord> extents;
};

class Unpacker {
 public:
  Unpacker(Store& store, const ImageReader& image, const fs::path& folder, unsigned jobs, Operation& op)
      : store_(store),
        image_(image),
        shown_as_(folder.string()),
        root_(open_file(folder, O_RDONLY | O_DIRECTORY)),
        op_(op),
        workers_(jobs == 0 ? default_jobs() : jobs, 4) {}

  void run() {
    walk_tree(image_, *this);
    send();
    workers_.wait();
    // Only now: while files are being filled the root must stay ours to enter.
    restore_metadata(root_.get(), image_, image_.inode(root_inode), shown_as_);
  }

  void enter(const std::string& path, std::string_view name, uint32_t) {
    op_.cancel.check();
    if (path.empty()) return open_.push(root_.dup());
    const std::string text(name);
    if (::mkdirat(open_.top(), text.c_str(), 0700) != 0) throw unpack_error("create the folder", full(path));
    Fd folder(::openat(open_.top(), text.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder) throw unpack_error("open the folder", full(path));
    open_.push(std::move(folder));
  }

  void leave(const std::string& path, uint32_t inode) {
    if (!path.empty()) restore_metadata(open_.top(), image_, image_.inode(inode), full(path));
    open_.pop();
  }

  void visit(const std::string& path, std::string_view name, uint32_t number) {
    op_.cancel.check();
    const InodeRecord& inode = image_.inode(number);
    const std::string text(name);
    if (inode.links > 1) {
      const auto [first, is_first] = linked_.try_emplace(number, path);
      if (!is_first) return link(first->second, text, path);
    }
    if (S_ISREG(inode.mode)) return file(inode, text, path);
    if (S_ISLNK(inode.mode)) {
      const std::string target(image_.target(inode));
      if (::symlinkat(target.c_str(), open_.top(), text.c_str()) != 0)
        throw unpack_error("create the link", full(path));
    } else if (::mknodat(open_.top(), text.c_str(), (inode.mode & S_IFMT) | 0600, inode.device) != 0) {
      throw unpack_error(S_ISCHR(inode.mode) || S_ISBLK(inode.mode) ? "create the device" : "create",
                         full(path));
    }
    restore_metadata_at(open_.top(), text, image_, inode, full(path));
  }

 private:
  std::string full(const std::string& path) const { return shown_as_ + "/" + path; }

  /// A second name for what has been made at `first`. That path is made of our own folders; should somebody
  /// have put a link in one's place meanwhile, it is not followed.
  void link(const std::string& first, const std::string& name, const std::string& path) {
    Fd folder = root_.dup();
    for (std::string_view rest = parent_of(first); !rest.empty();) {
      const size_t slash = std::min(rest.find('/'), rest.size());
      const std::string step(rest.substr(0, slash));
      rest.remove_prefix(std::min(slash + 1, rest.size()));
      folder = Fd(::openat(folder.get(), step.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!folder) throw unpack_error("open the folder of", full(first));
    }
    const std::string first_name(name_of(first));
    if (::linkat(folder.get(), first_name.c_str(), open_.top(), name.c_str(), 0) != 0)
      throw unpack_error("create the hard link", full(path));
  }

  void file(const InodeRecord& inode, const std::string& name, const std::string& path) {
    Fd fd(::openat(open_.top(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) throw unpack_error("create", full(path));
    const std::shared_ptr<OpenFile> file(new OpenFile{std::move(fd), inode, full(path), {}});
    const auto pieces = cut(image_.extents(inode));
    file->pieces = pieces.size();
    for (const auto& piece : pieces) {
      batch_.push_back({file, piece});
      for (const ExtentRecord& e : piece) batch_size_ += image_.chunks()[e.chunk].length;
      if (batch_size_ >= batch_bytes || batch_.size() >= batch_files) send();
    }
  }

  /// A file's extents in pieces of about a batch; one empty piece if there are none.
  std::vector<std::span<const ExtentRecord>> cut(std::span<const ExtentRecord> extents) const {
    std::vector<std::span<const ExtentRecord>> pieces;
    do {
      size_t bytes = 0;
      size_t n = 0;
      while (n < extents.size() && bytes < batch_bytes) bytes += image_.chunks()[extents[n++].chunk].length;
      pieces.push_back(extents.first(n));
      extents = extents.subspan(n);
    } while (!extents.empty());
    return pieces;
  }

  void send() {
    if (batch_.empty()) return;
    workers_.submit([this, batch = std::make_shared<std::vector<Piece>>(std::move(batch_))] {
      FrameCache cache(store_);
      for (Piece& piece : *batch) {
        fill(piece, cache);
        if (--piece.file->pieces == 0) finish(*piece.file);
        piece.file.reset();
      }
    });
    batch_ = {};
    batch_size_ = 0;
  }

  void fill(const Piece& piece, FrameCache& cache) {
    for (const ExtentRecord& e : piece.extents) {
      op_.cancel.check();
      const ByteSpan bytes = cache.read(ImageReader::digest(image_.chunks()[e.chunk]));
      if (bytes.size() != image_.chunks()[e.chunk].length)
        throw Error::corrupt("a chunk of " + shown(piece.file->path) + " has the wrong length");
      try {
        write_data(piece.file->fd.get(), bytes, e.offset);
      } catch (const Error& error) {
        throw error.in(shown(piece.file->path));
      }
      op_.progress.advance(bytes.size());
    }
  }

  /// Writes all but the zero blocks, which stay holes.
  static void write_data(int fd, ByteSpan bytes, uint64_t offset) {
    const auto block_at = [&](size_t at) {
      return bytes.subspan(at, std::min(zero_block - (offset + at) % zero_block, bytes.size() - at));
    };
    for (size_t at = 0; at < bytes.size();) {
      if (const ByteSpan block = block_at(at); all_zero(block)) {
        at += block.size();
        continue;
      }
      size_t end = at;
      while (end < bytes.size() && !all_zero(block_at(end))) end += block_at(end).size();
      pwrite_full(fd, bytes.subspan(at, end - at), static_cast<off_t>(offset + at));
      at = end;
    }
  }

  void finish(const OpenFile& file) {
    if (::ftruncate(file.fd.get(), static_cast<off_t>(file.inode.size)) != 0)
      throw unpack_error("set the size of", file.path);
    restore_metadata(file.fd.get(), image_, file.inode, file.path);
  }

  Store& store_;
  const ImageReader& image_;
  const std::string shown_as_;
  const Fd root_;
  Operation& op_;
  FolderStack open_;
  std::unordered_map<uint32_t, std::string> linked_;  // the first path of each inode with several
  std::vector<Piece> batch_;
  size_t batch_size_ = 0;
  Workers workers_;  // last: its threads use all of the above
};

}  // namespace

void unpack_image(Store& store, const ImageReader& image, const fs::path& folder, unsigned jobs,
                  Operation& op) {
  auto span = op.timeline.span("image.unpack");
  Target target(folder);
  {
    const ProgressTask task(op.progress, "unpacking", image.total_bytes());
    Unpacker(store, image, folder, jobs, op).run();
  }
  target.keep();
}

}  // namespace coldstart
