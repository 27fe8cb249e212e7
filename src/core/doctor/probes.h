// SPDX-License-Identifier: Apache-2.0
#pragma once
// The single tries behind check_host(). Each gives what it found, or throws Error with what is lacking and,
// where there is one, a hint.

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>

namespace coldstart {

using Probe = std::function<std::string()>;

/// Runs a probe in a process of its own, ended after some seconds, so that it may unshare, mount and hang.
std::string in_child(const Probe& probe, std::chrono::seconds patience = std::chrono::seconds(2));

std::string probe_kernel();
std::string probe_fuse();  ///< for in_child: mounts, and greets the kernel
/// For in_child. Registers a file of `folder` (or its nearest parent) as what FUSE passes reads through to.
std::string probe_passthrough(const std::filesystem::path& folder);
std::string probe_overlay();      ///< for in_child
std::string probe_namespaces();   ///< for in_child
std::string probe_userfaultfd();  ///< for in_child
std::string probe_pressure();
std::string probe_gpu();         ///< for in_child, as it loads the driver's library
std::string probe_gpu_health();  ///< for in_child, as it may hang in the driver; two seconds, and a bit
std::string probe_store(const std::filesystem::path& root);
/// `number` as of linux/capability.h; throws Error if this process does not have it.
std::string probe_capability(int number);

}  // namespace coldstart
