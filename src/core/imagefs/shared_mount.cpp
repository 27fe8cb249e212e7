// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/shared_mount.h"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/fd_passing.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/unix_socket.h"
#include "core/imagefs/launch.h"
#include "core/imagefs/mount_table.h"
#include "core/imagefs/presence.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto longest_pause = 20ms;

/// Who has it may be mounting from afar: so the wait for it can be cancelled.
FileLock lock_share(const fs::path& folder, const CancelToken& cancel) {
  for (auto pause = 1ms;; pause = std::min(2 * pause, longest_pause)) {
    if (auto lock = FileLock::try_lock(folder / "lock", FileLock::Mode::exclusive)) return std::move(*lock);
    pollfd p{cancel.fd(), POLLIN, 0};
    ::poll(&p, 1, static_cast<int>(pause.count()));
    cancel.check();
  }
}

/// What a keeper says at first; nothing if it is ending.
std::optional<MountShareFds> welcome(const Fd& connection, const CancelToken& cancel) {
  std::byte word{};
  pollfd polls[2] = {{connection.get(), POLLIN, 0}, {cancel.fd(), POLLIN, 0}};
  while (::poll(polls, 2, -1) < 0 && errno == EINTR) cancel.check();
  cancel.check();
  try {
    Received got = receive_fds(connection.get(), std::span(&word, 1));
    if (got.size != 1 || got.fds.size() != 5) return std::nullopt;
    return MountShareFds{std::move(got.fds[0]), std::move(got.fds[1]), std::move(got.fds[2]),
                         std::move(got.fds[3]), std::move(got.fds[4])};
  } catch (const Error& e) {
    log::debug("{}", e.message());  // it was reset: it died
    return std::nullopt;
  }
}

/// Readable, or the other side gone, before `deadline`.
bool wait_for(const Fd& fd, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd p{fd.get(), POLLIN, 0};
    const int n = ::poll(&p, 1, std::max(0, static_cast<int>(left.count())));
    if (n >= 0 || errno != EINTR) return n > 0;
  }
}

/// Says that we use it no more. Returns once the keeper stays for others (false), or it and its server have
/// ended.
bool say_goodbye(const Fd& connection, const Fd& alive, char word) {
  const auto deadline = Clock::now() + time_to_leave;
  char answer = 0;
  if (::send(connection.get(), &word, 1, MSG_NOSIGNAL) == 1 && wait_for(connection, deadline) &&
      ::recv(connection.get(), &answer, 1, 0) == 1)
    return false;
  if (!wait_for(alive, deadline)) log::warn("the processes behind a mount have not ended");
  return true;
}

}  // namespace

SharedMount::SharedMount(fs::path folder, const fs::path& store_root, const Digest& image,
                         const MountOptions& options, const CancelToken& cancel)
    : folder_(fs::canonical(folder)),
      store_root_(store_root),
      image_(image),
      options_(options),
      share_(mount_share_folder(store_root, image, options)) {
  if (!join(cancel)) {
    make_folders(share_ / "image");
    const FileLock lock = lock_share(share_, cancel);
    if (!join(cancel)) make(cancel);
  }
  if (held_.tree) {
    attach_mount(held_.tree.get(), folder_);
    attached_ = true;
    held_.tree.reset();
  }
}

SharedMount::~SharedMount() {
  stop_.cancel();
  if (watcher_.joinable()) watcher_.join();
  leave();
}

/// False if no keeper answers.
bool SharedMount::join(const CancelToken& cancel) {
  for (const std::string& name : mount_share_sockets(share_)) {
    auto connection = connect_to(share_ / name, SOCK_SEQPACKET);
    if (!connection) continue;
    auto fds = welcome(*connection, cancel);
    if (!fds) continue;
    held_ = std::move(*fds);
    device_ = device_of(held_.tree.get());
    connection_ = std::move(*connection);
    return true;
  }
  return false;
}

/// The share's lock is held.
void SharedMount::make(const CancelToken& cancel) {
  FuseMount mount(folder_, "coldstart:" + image_.text());
  start_keeper(mount.fd(), copy_mount(mount.folder()), cancel);
  mount.release();
  attached_ = true;
}

/// The share's lock is held, and it has no keeper for this mount.
void SharedMount::start_keeper(int fuse, Fd tree, const CancelToken& cancel) {
  device_ = device_of(tree.get());
  const Pipe alive = make_pipe();
  keeper_ = start_share_keeper({.tree_fd = tree.get(),
                                .fuse_fd = fuse,
                                .state_fd = held_.state.get(),
                                .opens_fd = held_.opens.get(),
                                .alive_fd = alive.read.get(),
                                .presence_fd = alive.write.get(),
                                .folder = share_,
                                .store_root = store_root_,
                                .image = image_,
                                .mount = options_},
                               cancel);
  auto connection = connect_to(share_ / mount_share_socket(device_), SOCK_SEQPACKET);
  auto fds = connection ? welcome(*connection, cancel) : std::nullopt;
  if (!fds) throw Error("the image's keeper ended at once", "see " + image_server_log(store_root_).string());
  fds->tree.reset();
  held_ = std::move(*fds);
  connection_ = std::move(*connection);
}

void SharedMount::watch() {
  watcher_ = std::jthread([this] { keep_kept(); });
}

void SharedMount::keep_kept() {
  for (;;) {
    pollfd polls[2] = {{connection_.get(), POLLIN, 0}, {stop_.fd(), POLLIN, 0}};
    if (::poll(polls, 2, -1) < 0 && errno != EINTR) return;
    if (stop_.cancelled()) return;
    if (polls[0].revents == 0) continue;
    try {
      replace_keeper();
    } catch (const Error& e) {
      if (stop_.cancelled()) return;
      {
        const std::lock_guard lock(mutex_);
        why_lost_ = e.message();
      }
      // Nobody will answer: without a descriptor of the mount readers get an error, and do not wait.
      held_ = {};
      lost_.cancel();
      return;
    }
  }
}

/// It died. Whoever is first starts another, unless it died of what would end the other as well.
void SharedMount::replace_keeper() {
  char word = 0;
  if (::recv(connection_.get(), &word, 1, 0) == 1 && word == MountShareWord::gave_up)
    throw Error("its servers died one after the other");
  connection_.reset();
  if (!wait_for(held_.alive, Clock::now() + time_to_leave))
    throw Error("its keeper died, but not its server");
  if (keeper_) keeper_.wait();
  const FileLock lock = lock_share(share_, stop_);
  if (auto connection = connect_to(share_ / mount_share_socket(device_), SOCK_SEQPACKET)) {
    if (auto fds = welcome(*connection, stop_)) {
      held_ = std::move(*fds);
      held_.tree.reset();
      connection_ = std::move(*connection);
      return;
    }
  }
  start_keeper(held_.fuse.get(), copy_mount(folder_), stop_);
  log::warn("the keeper of {} died; another one serves on", folder_.string());
}

std::string SharedMount::why_lost() const {
  const std::lock_guard lock(mutex_);
  return why_lost_;
}

void SharedMount::leave() noexcept {
  try {
    if (attached_) detach_mount(folder_);
  } catch (const Error&) {
    // Somebody else unmounted it meanwhile: what was wanted.
  }
  const Fd alive = std::move(held_.alive);
  held_ = {};
  try {
    const bool ended = !connection_ || say_goodbye(connection_, alive, MountShareWord::leave);
    if (keeper_ && ended) keeper_.wait_for(time_to_leave);
  } catch (const Error& e) {
    log::warn("{}", e.message());
  }
  keeper_.release();  // for the others
}

void dismiss_shared_mounts(const fs::path& store_root) {
  const CancelToken never;
  std::error_code none;
  for (const auto& share : fs::directory_iterator(fs::absolute(store_root) / "mounts", none))
    for (const std::string& name : mount_share_sockets(share.path()))
      if (const auto connection = connect_to(share.path() / name, SOCK_SEQPACKET))
        if (const auto fds = welcome(*connection, never))
          say_goodbye(*connection, fds->alive, MountShareWord::dismiss);
}

}  // namespace coldstart
