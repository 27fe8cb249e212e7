// SPDX-License-Identifier: Apache-2.0
// A cache near by. Only blobs are kept, for they never change; refs always come from the origin. A cache can
// make things faster and nothing else: what it cannot give, or gives wrongly (the caller finds that out by
// digest, and asks again past the cache), comes from the origin.

#include <algorithm>
#include <map>
#include <mutex>

#include <fcntl.h>
#include <unistd.h>

#include "core/base/files.h"
#include "core/base/log.h"
#include "core/remote/backends.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t block_bytes = uint64_t{1} << 20;
constexpr std::string_view blob_prefix = "blobs/";

/// Hands all but get() on.
class NearBase : public ObjectStore {
 public:
  explicit NearBase(std::shared_ptr<ObjectStore> inner) : inner_(std::move(inner)) {}
  std::string name() const override { return inner_->name(); }
  std::optional<uint64_t> size(const std::string& key) override { return inner_->size(key); }
  void put(const std::string& key, const ObjectSource& source) override { inner_->put(key, source); }
  std::vector<std::string> list(const std::string& prefix) override { return inner_->list(prefix); }
  void remove(const std::string& key) override { inner_->remove(key); }

 protected:
  const std::shared_ptr<ObjectStore> inner_;
};

class NearFolder final : public NearBase {
 public:
  NearFolder(std::shared_ptr<ObjectStore> inner, fs::path folder)
      : NearBase(std::move(inner)), folder_(std::move(folder)) {}

  using ObjectStore::get;
  Bytes get(const std::string& key, std::optional<ByteRange> range, Freshness freshness) override;

 private:
  fs::path block_file(const std::string& key, uint64_t block) const {
    return folder_ / key / std::to_string(block);
  }
  std::optional<Bytes> read_block(const std::string& key, uint64_t block) const;
  void keep_block(const std::string& key, uint64_t block, ByteSpan bytes) const;
  std::optional<uint64_t> size_of(const std::string& key);

  const fs::path folder_;
  std::mutex mutex_;  // guards sizes_
  std::map<std::string, uint64_t> sizes_;
};

/// Asked once: a blob never changes.
std::optional<uint64_t> NearFolder::size_of(const std::string& key) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto at = sizes_.find(key); at != sizes_.end()) return at->second;
  }
  const std::optional<uint64_t> size = inner_->size(key);
  const std::lock_guard lock(mutex_);
  if (size) sizes_[key] = *size;
  return size;
}

std::optional<Bytes> NearFolder::read_block(const std::string& key, uint64_t block) const {
  const fs::path file = block_file(key, block);
  if (::access(file.c_str(), R_OK) != 0) return std::nullopt;
  try {
    return read_file(file, block_bytes);
  } catch (const Error& e) {
    log::debug("{}", e.message());
    return std::nullopt;
  }
}

void NearFolder::keep_block(const std::string& key, uint64_t block, ByteSpan bytes) const {
  const fs::path file = block_file(key, block);
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  std::string aside = (file.parent_path() / ".XXXXXX").string();
  const Fd out(::mkostemp(aside.data(), O_CLOEXEC));
  if (!out) {
    log::debug("cannot keep a block in {}", file.parent_path().string());
    return;
  }
  try {
    write_full(out.get(), bytes);
    check(::rename(aside.c_str(), file.c_str()), "cannot publish " + file.string());
  } catch (const Error& e) {
    ::unlink(aside.c_str());
    log::debug("{}", e.message());
  }
}

/// The blocks that the range touches: those that are here, and the others, from the first to the last of
/// them, by one request. Blocks are cut at multiples of 1 MiB; only whole ones are kept, and the last one as
/// it is.
Bytes NearFolder::get(const std::string& key, std::optional<ByteRange> range, Freshness freshness) {
  if (!range || range->length == 0 || !key.starts_with(blob_prefix))
    return inner_->get(key, range, freshness);
  const uint64_t first = range->offset / block_bytes;
  const uint64_t last = (range->offset + range->length - 1) / block_bytes;
  std::vector<std::optional<Bytes>> blocks(last - first + 1);
  if (freshness == Freshness::any)
    for (uint64_t i = first; i <= last; ++i) blocks[i - first] = read_block(key, i);
  const auto lacks = [](const std::optional<Bytes>& block) { return !block; };
  const auto from = std::find_if(blocks.begin(), blocks.end(), lacks);
  if (from != blocks.end()) {
    const auto to = std::find_if(blocks.rbegin(), blocks.rend(), lacks).base();
    const std::optional<uint64_t> size = size_of(key);
    if (!size || *size < range->offset + range->length) return inner_->get(key, range, freshness);
    const uint64_t start = (first + static_cast<uint64_t>(from - blocks.begin())) * block_bytes;
    const uint64_t end = std::min(*size, (first + static_cast<uint64_t>(to - blocks.begin())) * block_bytes);
    const Bytes came = inner_->get(key, ByteRange{start, end - start}, freshness);
    for (uint64_t at = start; at < end; at += block_bytes) {
      const ByteSpan bytes = ByteSpan(came).subspan(at - start, std::min(block_bytes, end - at));
      keep_block(key, at / block_bytes, bytes);
      blocks[at / block_bytes - first] = Bytes(bytes.begin(), bytes.end());
    }
  }
  Bytes result;
  result.reserve(range->length);
  for (uint64_t i = first; i <= last; ++i) {
    const Bytes& block = *blocks[i - first];
    const uint64_t skip = i == first ? range->offset - first * block_bytes : 0;
    if (skip >= block.size()) break;
    append(result, ByteSpan(block).subspan(
                       skip, std::min<uint64_t>(block.size() - skip, range->length - result.size())));
  }
  // A block that was cut short: as if it were not there.
  return result.size() == range->length ? result : inner_->get(key, range, freshness);
}

class Near final : public NearBase {
 public:
  Near(std::shared_ptr<ObjectStore> inner, std::shared_ptr<ObjectStore> near)
      : NearBase(std::move(inner)), near_(std::move(near)) {}

  using ObjectStore::get;
  Bytes get(const std::string& key, std::optional<ByteRange> range, Freshness freshness) override {
    if (freshness == Freshness::any && key.starts_with(blob_prefix)) {
      try {
        return near_->get(key, range, freshness);
      } catch (const RemoteError& e) {
        log::debug("{}; asking {}", e.message(), inner_->name());
      }
    }
    return inner_->get(key, range, freshness);
  }

 private:
  const std::shared_ptr<ObjectStore> near_;
};

}  // namespace

std::shared_ptr<ObjectStore> with_near_folder(std::shared_ptr<ObjectStore> inner, const fs::path& folder) {
  return std::make_shared<NearFolder>(std::move(inner), folder);
}

std::shared_ptr<ObjectStore> with_near(std::shared_ptr<ObjectStore> inner,
                                       std::shared_ptr<ObjectStore> near) {
  return std::make_shared<Near>(std::move(inner), std::move(near));
}

}  // namespace coldstart
