// SPDX-License-Identifier: Apache-2.0
#pragma once
// How one mount of an image serves all replicas of a host, and outlives them for a while.
//
//   STORE/mounts/KEY/      an image, and how it is mounted
//     lock                 held while somebody looks whether there is such a mount, and makes one
//     image/               where its keeper has it, in a mount namespace of its own
//     DEVICE.socket        the keeper answers; DEVICE: the mount's, in hexadecimal
//
// Who mounts first starts the keeper (keeper.h), which gives to whoever connects: the mount, as a detached
// copy to be put where he likes, and all that a further keeper would need. The connection is the use: when
// the last one has ended the keeper waits a while for the next, and unmounts.
//
// A keeper that dies takes its server along, but not the mount: each user holds what a keeper needs. Once
// both have ended (two servers at once would take each other's requests) the first user to notice starts
// another keeper (SharedMount::watch()), and no reader has noticed anything but a delay. So nothing depends
// on the keeper's surroundings, such as the control group of the replica that happened to be the first.

#include <cstdint>
#include <filesystem>

#include "core/base/fd.h"
#include "core/imagefs/imagefs.h"

namespace coldstart {

/// STORE/mounts/KEY.
std::filesystem::path mount_share_folder(const std::filesystem::path& store_root, const Digest& image,
                                         const MountOptions& options);
/// The names of the sockets in it, whether somebody answers there or not.
std::vector<std::string> mount_share_sockets(const std::filesystem::path& folder);
std::string mount_share_socket(uint64_t device);

/// What a keeper says to its users and what they say to it, one byte a message.
struct MountShareWord {
  static constexpr char leave = 'l';    ///< user: I use it no more
  static constexpr char dismiss = 'd';  ///< user: the same; and if nobody else does, do not wait for the next
  static constexpr char stays = '+';  ///< keeper, to both: it stays. Else it ends, and so does the connection
  static constexpr char gave_up = 'x';  ///< keeper: servers die again and again, do not start another keeper
};

/// The descriptors that a keeper gives to its users, in this order.
struct MountShareFds {
  Fd tree;   ///< the mount, detached (open_tree(2))
  Fd fuse;   ///< its /dev/fuse
  Fd state;  ///< see greeting.h
  Fd opens;  ///< see open_table.h
  Fd alive;  ///< read end of a pipe that the keeper and its server hold the other end of, and nobody else
};

/// The device number of what is mounted there.
uint64_t device_of(int tree);
/// A detached copy of the mount on `folder`.
Fd copy_mount(const std::filesystem::path& folder);
/// Puts a detached mount on `folder`.
void attach_mount(int tree, const std::filesystem::path& folder);

}  // namespace coldstart
