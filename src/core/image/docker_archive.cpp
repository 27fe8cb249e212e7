// SPDX-License-Identifier: Apache-2.0
// A file of `docker save`: a tar with manifest.json, the config and the layers in it, in any order. It is
// listed once; a member is found again by skipping to it, which takes no reading. A compressed archive cannot
// be skipped in, so it is decompressed to a file without a name first.
#include <algorithm>
#include <map>

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/image/layered_source.h"
#include "core/image/path.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr size_t most_document_bytes = size_t{4} << 20;
constexpr size_t most_members = 100000;
constexpr int most_links = 10;

/// Reads a file from its own position on, whoever else reads it.
struct Cursor {
  int fd;
  uint64_t size;
  uint64_t at = 0;

  size_t read(MutableByteSpan into) {
    const size_t n = pread_full(fd, into, static_cast<off_t>(at));
    at += n;
    return n;
  }
  uint64_t skip(uint64_t bytes) {
    bytes = std::min(bytes, size - std::min(at, size));
    at += bytes;
    return bytes;
  }
};

class DockerArchive {
 public:
  DockerArchive(const fs::path& path, const CancelToken& cancel)
      : shown_as_("the docker archive " + path.string()), fd_(open_file(path, O_RDONLY)) {
    if (std::make_unique<Walk>(*this)->reader.compressed()) decompress(cancel);
    list();
  }

  const std::string& shown_as() const { return shown_as_; }

  std::string read_document(const std::string& name) const {
    const ByteInput input = open(name);
    std::string text;
    Bytes buffer(size_t{64} << 10);
    while (const size_t n = input(buffer, no_cancel_)) {
      text += as_text(ByteSpan(buffer).first(n));
      if (text.size() > most_document_bytes) throw Error::corrupt(shown(name) + " is too large");
    }
    return text;
  }

  uint64_t size_of(const std::string& name) const { return member(name).size; }

  /// This object must outlive it.
  ByteInput open(const std::string& name) const {
    const auto walk = std::make_shared<Walk>(*this);
    walk->go_to(member(name).number);
    return [walk, block = ByteSpan()](MutableByteSpan into, const CancelToken& cancel) mutable -> size_t {
      cancel.check();
      for (int64_t offset = 0; block.empty();)
        if (!walk->reader.next_block(block, offset)) return 0;
      const size_t n = std::min(into.size(), block.size());
      std::copy_n(block.begin(), n, into.begin());
      block = block.subspan(n);
      return n;
    };
  }

 private:
  struct Member {
    size_t number;
    uint64_t size;
    std::string link;  // the member that is meant, or empty
  };

  /// A walk over the members.
  struct Walk {
    explicit Walk(const DockerArchive& archive)
        : cursor{archive.fd_.get(), archive.size()},
          reader(
              ArchiveReader::Format::tar,
              [this](MutableByteSpan into, const auto&) { return cursor.read(into); },
              [this](uint64_t bytes) { return cursor.skip(bytes); }, archive.shown_as_) {
      reader.open(archive.no_cancel_);
    }
    bool next() { return reader.next(&entry); }
    void go_to(size_t number) {
      for (size_t i = 0; i <= number; ++i)
        if (!next()) throw Error::corrupt("it became shorter while it was read");
    }
    Cursor cursor;
    ArchiveReader reader;
    archive_entry* entry = nullptr;
  };

  uint64_t size() const {
    struct stat st {};
    check(::fstat(fd_.get(), &st), "cannot stat " + shown_as_);
    if (!S_ISREG(st.st_mode)) throw Error(shown_as_ + " is no plain file");
    return static_cast<uint64_t>(st.st_size);
  }

  void decompress(const CancelToken& cancel) {
    const fs::path folder = fs::temp_directory_path();
    Fd plain = open_file(folder, O_TMPFILE | O_RDWR);
    Cursor cursor{fd_.get(), size()};
    ArchiveReader raw(
        ArchiveReader::Format::raw,
        [&](MutableByteSpan into, const auto&) {
          cancel.check();
          return cursor.read(into);
        },
        nullptr, shown_as_);
    raw.open(cancel);
    archive_entry* entry = nullptr;
    ByteSpan block;
    int64_t offset = 0;
    try {
      if (raw.next(&entry))
        while (raw.next_block(block, offset)) write_full(plain.get(), block);
    } catch (const Error& e) {
      if (e.exit() == Exit::corrupt) throw;
      throw e.in("decompressing it into " + folder.string());
    }
    fd_ = std::move(plain);
  }

  void list() {
    Walk walk(*this);
    for (size_t number = 0; walk.next(); ++number) {
      if (number == most_members)
        throw Error::corrupt(fmt::format("{} has more than {} members", shown_as_, most_members));
      const char* name = ::archive_entry_pathname(walk.entry);
      if (name == nullptr) continue;
      const std::string path = inner_path(name);
      Member member{
          number, static_cast<uint64_t>(std::max<int64_t>(0, ::archive_entry_size(walk.entry))), {}};
      if (const char* hard = ::archive_entry_hardlink(walk.entry); hard != nullptr)
        member.link = inner_path(hard);
      else if (const char* soft = ::archive_entry_symlink(walk.entry); soft != nullptr)
        member.link = inner_path((fs::path(parent_of(path)) / soft).lexically_normal().string());
      members_.insert_or_assign(path, std::move(member));
    }
  }

  const Member& member(const std::string& name) const {
    std::string path = inner_path(name);
    for (int links = 0; links < most_links; ++links) {
      const auto found = members_.find(path);
      if (found == members_.end()) throw Error::corrupt(shown(path) + " is missing in it");
      if (found->second.link.empty()) return found->second;
      path = found->second.link;
    }
    throw Error::corrupt(shown(name) + " leads through too many links");
  }

  const std::string shown_as_;
  const CancelToken no_cancel_;
  Fd fd_;
  std::map<std::string, Member> members_;
};

/// "debian", "debian:latest" and "docker.io/library/debian:latest" are one name.
bool same_name(const std::string& full, const std::string& wanted) {
  for (const char* registry : {"", "docker.io/", "docker.io/library/"})
    for (const char* tag : {"", ":latest"})
      if (full == registry + wanted + tag) return true;
  return false;
}

const DockerArchiveImage& choose(const std::vector<DockerArchiveImage>& images,
                                 const std::string& reference) {
  if (reference.empty() && images.size() == 1) return images[0];
  std::vector<std::string> names;
  for (const DockerArchiveImage& image : images) {
    for (const std::string& name : image.names) {
      if (same_name(name, reference)) return image;
      names.push_back(shown(name));
    }
  }
  const std::string hint = fmt::format("there are: {}", fmt::join(names, ", "));
  if (reference.empty()) throw Error::usage("it holds several images", hint);
  throw Error::not_found("there is no image " + reference, hint);
}

/// Configs are named by their digest: NAME.json, or blobs/sha256/NAME.
void check_name(const std::string& name, const std::string& text) {
  std::string_view hex = name_of(name);
  if (hex.ends_with(".json")) hex.remove_suffix(5);
  const auto digest = Digest::parse(hex);
  if (digest && Digest::of(as_bytes(text)) != *digest)
    throw Error::corrupt(shown(name) + " is damaged: its bytes are not those of its digest");
}

std::unique_ptr<TreeSource> image_in(const std::shared_ptr<DockerArchive>& archive,
                                     const std::string& reference, const OciPlatform& platform) {
  const auto images = DockerArchiveImage::parse(archive->read_document("manifest.json"), "manifest.json");
  const DockerArchiveImage& image = choose(images, reference);
  const std::string text = archive->read_document(image.config);
  check_name(image.config, text);
  const OciConfig config = OciConfig::parse(text, shown(image.config));
  if (config.platform != platform)
    throw Error("it is for " + shown(config.platform.text()) + ", not for " + platform.text(),
                "--platform says for which platform an image is wanted");
  if (config.layers.size() != image.layers.size())
    throw Error::corrupt("its config speaks of another number of layers than manifest.json");
  std::vector<ImageLayer> layers;
  for (size_t i = 0; i < image.layers.size(); ++i) {
    const std::string& name = image.layers[i];
    layers.push_back({"the layer " + shown(name), archive->size_of(name),
                      [archive, name] { return archive->open(name); }, std::nullopt, config.layers[i]});
  }
  return make_layered_source(archive->shown_as(), std::move(layers), config.config);
}

}  // namespace

std::unique_ptr<TreeSource> open_docker_archive(const fs::path& file, const std::string& reference,
                                                const OciPlatform& platform, const CancelToken& cancel) {
  const auto archive = std::make_shared<DockerArchive>(file, cancel);
  try {
    return image_in(archive, reference, platform);
  } catch (const Error& e) {
    throw e.in(archive->shown_as());
  }
}

}  // namespace coldstart
