// SPDX-License-Identifier: Apache-2.0
// What is in use, and what is being made: files whose flock tells whether their owner lives.

#include <algorithm>

#include <fcntl.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/store/store_impl.h"

namespace coldstart {

namespace fs = std::filesystem;

Store::Lease::Lease(fs::path file, FileLock lock) : file_(std::move(file)), lock_(std::move(lock)) {}

Store::Lease::Lease(Lease&& other) noexcept
    : file_(std::move(other.file_)), lock_(std::exchange(other.lock_, std::nullopt)) {}

Store::Lease& Store::Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    release();
    file_ = std::move(other.file_);
    lock_ = std::exchange(other.lock_, std::nullopt);
  }
  return *this;
}

void Store::Lease::release() noexcept {
  if (!lock_) return;
  lock_.reset();
  try {
    // A child of ours may have inherited the lock and go on holding it; then the file must stay.
    if (FileLock::try_lock(file_, FileLock::Mode::exclusive)) ::unlink(file_.c_str());
  } catch (const std::exception&) {
    // The file is then left over without a holder, which gc removes.
  }
}

/// Says why a manifest is not there: removed, or, as a reference still leads to it, lost.
void Store::missing(RefKind kind, const Digest& manifest) {
  const std::string name = std::string("the ") + to_string(kind) + " " + manifest.text();
  const std::vector<Ref> named = refs(kind);
  if (std::none_of(named.begin(), named.end(), [&](const Ref& ref) { return ref.digest == manifest; }))
    throw Error::not_found(name + " was removed");
  throw Error::corrupt(name + " is missing from the store", "coldstart store fsck tells what else is wrong");
}

Store::Lease Store::lease(const std::string& purpose, const std::vector<ManifestName>& manifests) {
  // gc looks at leases under the exclusive lock: it sees none that is half made.
  const FileLock no_gc(impl_->lock_file(), FileLock::Mode::shared);
  std::string file = (impl_->leases() / (purpose + "-XXXXXX")).string();
  const Fd fd(::mkostemp(file.data(), O_CLOEXEC));
  if (!fd) throw Error::sys("cannot write in " + impl_->leases().string());
  Lease lease(file, FileLock(file, FileLock::Mode::exclusive));
  std::string text;
  for (const auto& [kind, digest] : manifests) {
    impl_->packs.rescan();
    if (!has_here(digest)) missing(kind, digest);
    text += std::string(to_string(kind)) + " " + digest.text() + "\n";
  }
  write_full(fd.get(), as_bytes(text));
  return lease;
}

Store::Scratch::Scratch(const fs::path& tmp)
    : folder_(tmp, ""), owner_(folder_.path() / "owner", FileLock::Mode::exclusive) {}

Store::Scratch Store::scratch() {
  const FileLock no_gc(impl_->lock_file(), FileLock::Mode::shared);
  return Scratch(impl_->tmp());
}

}  // namespace coldstart
