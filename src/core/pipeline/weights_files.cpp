// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/weights_files.h"

#include <algorithm>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "core/base/open_inside.h"
#include "core/image/image.h"
#include "core/imagefs/file_cache.h"
#include "core/imagefs/file_content.h"

namespace coldstart {

namespace {

constexpr int most_links = 40;

/// The inode of a path from the root, links followed; 0 if there is none.
uint32_t find_through_links(const ImageReader& image, std::string path) {
  std::string done;  // without links
  for (int links = 0; !path.empty();) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string name = path.substr(0, slash);
    path.erase(0, std::min(slash + 1, path.size()));
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      done.erase(std::min(done.rfind('/'), done.size()));
      continue;
    }
    const uint32_t inode = image.find(std::string(done).append("/").append(name));
    if (inode == 0) return 0;
    if (!S_ISLNK(image.inode(inode).mode)) {
      done.append("/").append(name);
      continue;
    }
    if (++links > most_links) return 0;
    const std::string target(image.target(image.inode(inode)));
    if (target.starts_with('/')) done.clear();
    path.insert(0, target + "/");
  }
  return image.find(done);
}

void add_tensors(WeightsFile& file) {
  for (const Tensor& tensor : tensors_of(file)) file.tensors.push_back(tensor.offset);
}

WeightsFile host_weights(Fd fd, const std::string& path) {
  struct stat st {};
  check(::fstat(fd.get(), &st), "cannot stat " + path);
  if (!S_ISREG(st.st_mode)) throw Error::usage(path + " is no regular file");
  WeightsFile file;
  file.name = path;
  const auto size = static_cast<uint64_t>(st.st_size);
  file.bytes = size;
  const uint64_t grid = BuildOptions().chunk_bytes;
  for (uint64_t at = 0; at < size; at += grid)
    file.cells.push_back({at, static_cast<uint32_t>(std::min(grid, size - at)), std::nullopt});
  file.read = [shared = std::make_shared<Fd>(std::move(fd)), cells = file.cells, path](size_t i) {
    Bytes bytes(cells[i].bytes);
    if (pread_full(shared->get(), bytes, static_cast<off_t>(cells[i].offset)) != bytes.size())
      throw Error(path + " became shorter while it was read");
    return bytes;
  };
  add_tensors(file);
  return file;
}

}  // namespace

/// From the first cells, as many as it takes.
std::vector<Tensor> tensors_of(const WeightsFile& file) {
  Bytes start;
  uint64_t wanted = sizeof(uint64_t);
  for (size_t i = 0; i < file.cells.size() && start.size() < wanted; ++i) {
    if (file.cells[i].offset != start.size()) break;  // a hole is no header
    append(start, file.read(i));
    if (i == 0 && start.size() >= wanted)
      wanted += std::min(load<uint64_t>(start.data()), safetensors_header_limit);
  }
  return parse_safetensors(start, file.bytes, file.name);
}

std::optional<WeightsFile> image_weights(const std::shared_ptr<Store>& store, const Digest& image,
                                         const std::string& path) {
  const ImageReader reader = open_image(*store, read_image_manifest(*store, image));
  const uint32_t number = find_through_links(reader, path);
  if (number == 0 || !S_ISREG(reader.inode(number).mode)) return std::nullopt;
  WeightsFile file;
  file.name = path + " of the image";
  file.bytes = reader.inode(number).size;
  for (const ExtentRecord& extent : reader.extents(reader.inode(number))) {
    const ChunkRecord& chunk = reader.chunks()[extent.chunk];
    file.cells.push_back({extent.offset, chunk.length, ImageReader::digest(chunk)});
  }
  if (Fd cached = FileCache(store->root(), 0).find(content_name(reader, reader.inode(number)), file.bytes))
    file.whole = std::make_shared<const Fd>(std::move(cached));
  file.read = [store, cells = file.cells](size_t i) {
    Bytes bytes(cells[i].bytes);
    store->read_into(*cells[i].digest, bytes);
    return bytes;
  };
  add_tensors(file);
  return file;
}

uint64_t whole_chunks(const WeightsFile& file, uint64_t at, uint64_t most) {
  const uint64_t end = at + most;
  const auto cell =
      std::partition_point(file.cells.begin(), file.cells.end(),
                           [end](const WeightsFile::Cell& c) { return c.offset + c.bytes <= end; });
  const bool is_cut = cell != file.cells.end() && cell->offset < end && cell->offset > at;
  return is_cut ? cell->offset - at : most;
}

void read_weights(Store& store, const WeightsFile& file, uint64_t at, MutableByteSpan into) {
  if (into.empty()) return;
  if (file.whole) {
    if (pread_full(file.whole->get(), into, static_cast<off_t>(at)) != into.size())
      throw Error::corrupt(file.name + " became shorter in the disk cache");
    return;
  }
  const uint64_t end = at + into.size();
  const auto part = [&](uint64_t low, uint64_t high) { return into.subspan(low - at, high - low); };
  const auto zero = [&](uint64_t low, uint64_t high) { std::ranges::fill(part(low, high), std::byte{0}); };
  uint64_t done = at;
  auto cell = std::partition_point(file.cells.begin(), file.cells.end(),
                                   [at](const WeightsFile::Cell& c) { return c.offset + c.bytes <= at; });
  for (; cell != file.cells.end() && cell->offset < end; ++cell) {
    const uint64_t low = std::max(at, cell->offset);
    const uint64_t high = std::min(end, cell->offset + cell->bytes);
    zero(done, low);
    done = high;
    if (high - low == cell->bytes) {
      store.read_into(*cell->digest, part(low, high));
      continue;
    }
    const Bytes whole = store.read(*cell->digest);
    if (whole.size() != cell->bytes)
      throw Error::corrupt(file.name + ": a chunk has another length than its file says");
    std::memcpy(part(low, high).data(), whole.data() + (low - cell->offset), high - low);
  }
  zero(done, end);
}

WeightsFile open_weights(const std::shared_ptr<Store>& store, const std::optional<Digest>& image, pid_t pid,
                         const std::string& path) {
  if (!path.starts_with('/'))
    throw Error::usage("--weights needs the whole path of the file, as the server sees it", "not " + path);
  if (image)
    if (auto file = image_weights(store, *image, path)) return std::move(*file);
  const Fd root = open_file(fmt::format("/proc/{}/root", pid), O_PATH | O_DIRECTORY);
  Fd fd = open_inside(root.get(), path, O_RDONLY);
  if (!fd)
    throw Error::sys("--weights: cannot open " + path, "name it as the server sees it", Exit::not_found);
  return host_weights(std::move(fd), path);
}

}  // namespace coldstart
