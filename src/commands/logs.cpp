// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <chrono>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include "commands/commands.h"
#include "core/sandbox/replica.h"

namespace coldstart {

namespace {

struct Options {
  std::string which;
  bool follow = false;
  bool only_out = false;
  bool only_err = false;
};

/// Reads one log on and on, also when it is moved away for a new one.
class LogReader {
 public:
  explicit LogReader(std::filesystem::path path) : path_(std::move(path)) {}

  /// What is there: the part that was moved away first.
  void write_all(std::ostream& to) {
    const std::filesystem::path older = path_.string() + ".1";
    if (std::filesystem::exists(older)) to << read_text(older);
    write_new(to);
  }

  void write_new(std::ostream& to) {
    drain(to);
    struct stat now {};
    struct stat held {};
    if (::stat(path_.c_str(), &now) != 0) return;
    if (fd_ && ::fstat(fd_.get(), &held) == 0 && held.st_ino == now.st_ino) return;
    drain(to);  // what came between the two
    fd_ = open_file(path_, O_RDONLY);
    drain(to);
  }

 private:
  void drain(std::ostream& to) {
    if (!fd_) return;
    std::array<std::byte, 65536> buffer{};
    while (const size_t got = read_full(fd_.get(), buffer)) to << as_text({buffer.data(), got});
  }
  const std::filesystem::path path_;
  Fd fd_;
};

void logs(Session& session, const Options& options) {
  const Replicas replicas(session.store_root);
  Replica replica = replicas.find(options.which);
  const std::filesystem::path folder = replicas.folder(replica);
  LogReader out(folder / "stdout.log");
  LogReader err(folder / "stderr.log");
  std::ostream& to = session.console.raw();
  if (!options.only_err) out.write_all(to);
  if (!options.only_out) err.write_all(to);
  session.console.flush();
  while (options.follow && replica.alive()) {
    replica = replicas.find(replica.id);  // before the last look: nothing is missed
    if (!options.only_err) out.write_new(to);
    if (!options.only_out) err.write_new(to);
    session.console.flush();
    if (!replica.alive()) break;
    pollfd p{session.cancel.fd(), POLLIN, 0};
    if (::poll(&p, 1, 100) < 0 && errno != EINTR) throw Error::sys("cannot wait");
    session.cancel.check();
  }
  if (!replica.error.empty()) session.console.note("it failed: " + replica.error);
}

}  // namespace

void add_logs(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("logs", "What a replica wrote to its standard output and error");
  command->footer(
      "Examples:\n"
      "  coldstart logs -f server");
  command->add_option("replica", options->which, "Id or name")->required()->type_name("REPLICA");
  command->add_flag("-f,--follow", options->follow, "Go on until it ends");
  auto* only_out = command->add_flag("--stdout", options->only_out, "Only its standard output");
  command->add_flag("--stderr", options->only_err, "Only its standard error")->excludes(only_out);
  command->callback([&session, options] { logs(session, *options); });
}

}  // namespace coldstart
