// SPDX-License-Identifier: Apache-2.0
// What is in use, and what is being made: files whose flock tells whether their owner lives.

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
    if (!has(digest))
      throw Error::not_found(std::string("the ") + to_string(kind) + " " + digest.text() + " was removed");
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
