// SPDX-License-Identifier: Apache-2.0
#pragma once
// The options that `run`, `snapshot` and `restore` have in common.

#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "cli/session.h"
#include "core/image/image_config.h"
#include "core/sandbox/front.h"
#include "core/sandbox/supervisor.h"

namespace coldstart {

/// What a replica is made of, as the user said it.
struct ReplicaOptions {
  std::string image;
  std::string rootfs;
  std::string name;
  std::string net;
  std::vector<std::string> binds;
  std::vector<std::string> ports;
  std::vector<std::string> environment;
  std::string folder;
  std::string user;
  std::optional<std::string> entrypoint;

  /// [IMAGE], --rootfs, -e, -w, -u, --entrypoint: what `restore` has from the snapshot.
  void add_root(CLI::App& command);
  /// --net, --bind.
  void add_surroundings(CLI::App& command);
  /// -p.
  void add_publish(CLI::App& command);
  /// All of these and --name.
  void add_place(CLI::App& command);

  std::optional<Net> chosen_net() const;
  std::vector<Bind> chosen_binds() const;
  std::vector<PortMapping> chosen_ports() const;
  /// All of it, for `program`; what is not said is as the image has it.
  ReplicaSpec spec(Session& session, const std::vector<std::string>& program) const;

 private:
  std::vector<std::string> words_for(const ImageConfig& config,
                                     const std::vector<std::string>& program) const;
};

/// --ready, --ready-cmd, --ready-log, --timeout.
struct ReadyOptions {
  std::string url, command, log;
  double timeout = 300;

  void add(CLI::App& app);
  /// Nothing if none was given.
  std::optional<Readiness> chosen() const;
};

/// In the foreground until it ends: our stdin goes in, its output comes out, signals are passed on. Gives the
/// exit status that a shell would show.
int attend(ReplicaFront& front);

}  // namespace coldstart
