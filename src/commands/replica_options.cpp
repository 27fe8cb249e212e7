// SPDX-License-Identifier: Apache-2.0
#include "commands/replica_options.h"

#include <csignal>

#include <fmt/format.h>
#include <sys/signalfd.h>

#include "core/image/image.h"
#include "core/sandbox/replica.h"
#include "core/store/store.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

/// "HOST:DIR[:ro]"
Bind parse_bind(std::string_view text) {
  Bind bind;
  std::string_view rest = text;
  if (rest.ends_with(":ro")) {
    bind.read_only = true;
    rest.remove_suffix(3);
  }
  const size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 >= rest.size() || rest[colon + 1] != '/')
    throw Error::usage(fmt::format("--bind '{}' is not HOST:DIR[:ro] with an absolute DIR", text));
  bind.source = fs::absolute(rest.substr(0, colon));
  bind.target = rest.substr(colon + 1);
  if (!fs::exists(bind.source))
    throw Error::usage(fmt::format("--bind: there is no {}", bind.source.string()));
  return bind;
}

void require_variables(const std::vector<std::string>& environment) {
  for (const std::string& one : environment)
    if (one.find('=') == std::string::npos || one.starts_with('='))
      throw Error::usage(fmt::format("-e '{}' is not NAME=VALUE", one));
}

}  // namespace

void ReplicaOptions::add_root(CLI::App& command) {
  command.add_option("image", image, "Image to run it in; none: the host's own root")->type_name("IMAGE");
  command.add_option("--rootfs", rootfs, "Folder to use instead of an image; it is not written to")
      ->type_name("DIR");
  command.add_option("-e,--env", environment, "Environment variable of the program (repeatable)")
      ->type_name("NAME=VALUE")
      ->take_all()
      ->allow_extra_args(false);
  command.add_option("-w,--workdir", folder, "Working folder inside; made if it is not there")
      ->type_name("DIR");
  command
      .add_option("-u,--user", user,
                  "Whom the program runs as, as the image's /etc/passwd and /etc/group know him")
      ->type_name("USER[:GROUP]");
  command
      .add_option("--entrypoint", entrypoint,
                  "Program that is given the command as arguments, instead of the image's; \"\": none")
      ->type_name("PROGRAM");
}

void ReplicaOptions::add_surroundings(CLI::App& command) {
  command.add_option("--net", net, "Network: host, none, or private (a loopback of its own)")
      ->type_name("NET")
      ->check(CLI::IsMember({"host", "none", "private"}));
  command.add_option("--bind", binds, "Folder or file of the host seen inside (repeatable)")
      ->type_name("HOST:DIR[:ro]")
      ->take_all()
      ->allow_extra_args(false);
}

void ReplicaOptions::add_place(CLI::App& command) {
  command.add_option("--name", name, "Name of the replica, for ps, logs, stop and exec")->type_name("NAME");
  add_surroundings(command);
  add_publish(command);
}

void ReplicaOptions::add_publish(CLI::App& command) {
  command
      .add_option("-p,--publish", ports,
                  "Port of the host that leads inside, with --net private (repeatable)")
      ->type_name("HOST:PORT")
      ->take_all()
      ->allow_extra_args(false);
}

std::optional<Net> ReplicaOptions::chosen_net() const {
  if (net.empty()) return std::nullopt;
  return net_from(net);
}

std::vector<Bind> ReplicaOptions::chosen_binds() const {
  std::vector<Bind> result;
  for (const std::string& one : binds) result.push_back(parse_bind(one));
  return result;
}

std::vector<PortMapping> ReplicaOptions::chosen_ports() const {
  std::vector<PortMapping> result;
  for (const std::string& one : ports) result.push_back(PortMapping::parse(one));
  return result;
}

/// As docker has it: what is given takes the place of the image's command, its entrypoint stays, unless that
/// is given as well.
std::vector<std::string> ReplicaOptions::words_for(const ImageConfig& config,
                                                   const std::vector<std::string>& program) const {
  std::vector<std::string> words = config.entrypoint;
  if (entrypoint) words.assign(entrypoint->empty() ? 0 : 1, *entrypoint);
  const std::vector<std::string>& rest = program.empty() && !entrypoint ? config.command : program;
  words.insert(words.end(), rest.begin(), rest.end());
  return words;
}

ReplicaSpec ReplicaOptions::spec(Session& session, const std::vector<std::string>& program) const {
  if (!image.empty() && !rootfs.empty())
    throw Error::usage("an image and --rootfs were both given: which one is meant?");
  require_variables(environment);
  ReplicaSpec spec;
  spec.store = fs::absolute(session.store_root);
  spec.name = name;
  spec.source = image.empty() ? rootfs : image;
  ImageConfig config;
  if (!image.empty()) {
    const std::shared_ptr<Store> store = session.store();
    spec.image = store->resolve(RefKind::image, image).digest;
    config = read_image_manifest(*store, *spec.image).config;
  }
  if (!rootfs.empty()) {
    spec.rootfs = fs::absolute(rootfs);
    if (!fs::is_directory(spec.rootfs))
      throw Error::usage(fmt::format("--rootfs: there is no folder {}", rootfs));
  }
  spec.program.argv = program;
  spec.program.argv = words_for(config, program);
  if (spec.program.argv.empty())
    throw Error::usage("no command was given", "put it at the end: -- COMMAND ARGUMENT…");
  std::vector<std::string> variables = config.environment;
  variables.insert(variables.end(), environment.begin(), environment.end());
  spec.program.user = user.empty() ? config.user : user;
  spec.program.environment = program_environment(variables, spec.program.user);
  spec.program.folder = !folder.empty() ? folder : !config.folder.empty() ? config.folder : "/";
  if (!spec.program.folder.starts_with('/')) spec.program.folder.insert(0, "/");
  spec.program.make_folder = !image.empty() || !rootfs.empty();
  spec.net = chosen_net().value_or(Net::host);
  spec.binds = chosen_binds();
  spec.ports = chosen_ports();
  if (!spec.ports.empty() && spec.net != Net::isolated)
    throw Error::usage("-p needs --net private: with the host's network there is nothing to publish");
  return spec;
}

void ReadyOptions::add(CLI::App& app) {
  auto* a =
      app.add_option("--ready", url, "It is ready once this URL answers (asked inside)")->type_name("URL");
  auto* b =
      app.add_option("--ready-cmd", command, "It is ready once this shell command succeeds (run inside)")
          ->type_name("CMD")
          ->excludes(a);
  app.add_option("--ready-log", log, "It is ready once a line of its output matches")
      ->type_name("REGEX")
      ->excludes(a)
      ->excludes(b);
  app.add_option("--timeout", timeout, "Seconds to wait for that")
      ->type_name("SECONDS")
      ->capture_default_str();
}

std::optional<Readiness> ReadyOptions::chosen() const {
  const auto limit = std::chrono::milliseconds(static_cast<int64_t>(timeout * 1000));
  std::optional<Readiness> readiness;
  if (!url.empty()) readiness = Readiness{Readiness::Kind::url, url, limit};
  if (!command.empty()) readiness = Readiness{Readiness::Kind::command, command, limit};
  if (!log.empty()) readiness = Readiness{Readiness::Kind::log, log, limit};
  if (readiness) readiness->check();
  return readiness;
}

int attend(ReplicaFront& front) {
  sigset_t passed_on;
  sigset_t before;
  sigemptyset(&passed_on);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2}) sigaddset(&passed_on, signal);
  check(::sigprocmask(SIG_BLOCK, &passed_on, &before), "cannot block signals");
  const Fd signals(check(::signalfd(-1, &passed_on, SFD_CLOEXEC | SFD_NONBLOCK), "cannot take signals"));
  const ExitState end = front.attend(signals.get());
  check(::sigprocmask(SIG_SETMASK, &before, nullptr), "cannot unblock signals");
  return end.status();
}

}  // namespace coldstart
