// SPDX-License-Identifier: Apache-2.0
#include "cli/app.h"

#include <algorithm>
#include <csignal>

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>

#include "cli/complete.h"
#include "cli/describe.h"
#include "cli/help.h"
#include "cli/usage_error.h"
#include "commands/commands.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/gpu/controller.h"
#include "core/sandbox/replica.h"
#include "core/store/store.h"

namespace coldstart {

namespace {

struct GlobalOptions {
  bool json = false, quiet = false, verbose = false, no_progress = false;
  std::string store, timeline;
};

/// What a killed command left frozen runs again, whatever is called next.
void recover_leftovers(const CLI::App& app, Session& session) {
  for (const CLI::App* command : app.get_subcommands())
    if (command->get_group().empty() || command->get_name() == "recover") return;
  try {
    for (const PutBack& one : recover_gpu(session.store_root, session.cancel))
      session.console.note(one.text());
  } catch (const Error& e) {
    log::warn("{}; 'coldstart recover' tries again", e.message());
  }
}

void add_global_options(CLI::App& app, Session& session, const std::shared_ptr<GlobalOptions>& options) {
  app.option_defaults()->group("Global options");
  app.set_help_flag("-h,--help", "Print help, also of a command, and exit")->group("Global options");
  app.add_option("--store", options->store, "Folder of the store (else $COLDSTART_STORE, else the default)")
      ->type_name("DIR");
  app.add_flag("--json", options->json, "Print one JSON document on stdout, nothing else there");
  auto* quiet = app.add_flag("-q,--quiet", options->quiet, "Say only what was asked for");
  app.add_flag("-v,--verbose", options->verbose, "Say what is being done")->excludes(quiet);
  app.add_flag("--no-progress", options->no_progress, "Draw no progress bar");
  app.add_option("--timeline", options->timeline, "Write every stage as a Chrome/Perfetto trace")
      ->type_name("FILE");
  app.set_version_flag("--version", std::string("coldstart " COLDSTART_VERSION),
                       "Print the version and exit");
  app.parse_complete_callback([&app, &session, options] {
    session.check_program(app);
    session.console.json = options->json;
    session.console.quiet = options->quiet;
    session.console.show_progress = !options->no_progress;
    session.verbose = options->verbose;
    session.store_root =
        options->store.empty() ? default_store_root() : std::filesystem::path(options->store);
    session.timeline_file = options->timeline;
    spdlog::set_level(options->verbose ? spdlog::level::debug
                      : options->quiet ? spdlog::level::err
                                       : spdlog::level::warn);
    recover_leftovers(app, session);
  });
}

/// The table of commands: the group of the help page that each is shown in, in order.
struct Entry {
  const char* group;
  std::string_view name;
  void (*add)(CLI::App&, Session&);
};
constexpr Entry entries[] = {
    {"Images", "image", add_image},
    {"Images", "mount", add_mount},
    {"Images", "umount", add_umount},
    {"Replicas", "run", add_run},
    {"Replicas", "ps", add_ps},
    {"Replicas", "logs", add_logs},
    {"Replicas", "stop", add_stop},
    {"Replicas", "exec", add_exec},
    {"Snapshots", "snapshot", add_snapshot},
    {"Snapshots", "restore", add_restore},
    {"Snapshots", "weights", add_weights},
    {"Snapshots", "bench", add_bench},
    {"Pool", "pool", add_pool},
    {"Pool", "launch", add_launch},
    {"Remotes", "push", add_push},
    {"Remotes", "pull", add_pull},
    {"Store and host", "store", add_store},
    {"Store and host", "doctor", add_doctor},
    {"Store and host", "recover", add_recover},
    // Started by other commands; not shown.
    {"", "gpu-controller", add_gpu_controller},
    {"", "gpu-health", add_gpu_health},
    {"", "lazy-pages", add_lazy_pages},
    {"", "serve-image", add_serve_image},
    {"", "keep-image", add_keep_image},
    {"", "replica-supervisor", add_replica_supervisor},
};

/// The command that the line begins with; null if it begins otherwise, be it with a typing error.
const Entry* begun_with(const std::vector<std::string>& arguments) {
  const auto takes_value = [](const std::string& word) { return word == "--store" || word == "--timeline"; };
  size_t at = 0;
  while (at < arguments.size() && arguments[at].starts_with('-')) at += takes_value(arguments[at]) ? 2 : 1;
  if (at >= arguments.size()) return nullptr;
  const Entry* found = std::find_if(std::begin(entries), std::end(entries),
                                    [&](const Entry& entry) { return entry.name == arguments[at]; });
  return found != std::end(entries) ? found : nullptr;
}

/// All of them, or `only` one.
void add_commands(CLI::App& app, Session& session, const Entry* only) {
  for (const Entry& entry : entries) {
    if (only != nullptr && only != &entry) continue;
    const size_t before = app.get_subcommands(nullptr).size();
    entry.add(app, session);
    const std::vector<CLI::App*> commands = app.get_subcommands(nullptr);
    for (size_t i = before; i < commands.size(); ++i) commands[i]->group(entry.group);
  }
  // One command a line: what follows it are its own arguments, even where they read like a command.
  for (CLI::App* command : app.get_subcommands(nullptr))
    if (!command->get_subcommands(nullptr).empty())
      command->require_subcommand(std::min<size_t>(1, command->get_require_subcommand_min()), 1);
}

/// True if a flag is among the words before "--": for what must be known even of a line that does not parse.
bool given(const std::vector<std::string>& arguments, const char* flag) {
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  return std::find(arguments.begin(), end, flag) != end;
}

/// Help and version are results, all else is a usage error.
int show_parse_outcome(CLI::App& app, const CLI::ParseError& outcome, Console& console) {
  if (outcome.get_exit_code() != 0) throw usage_error(app, outcome);
  if (outcome.get_name() != "CallForVersion") {
    console.raw() << app.help();
  } else {
    console.line("coldstart " COLDSTART_VERSION);
    console.result({{"version", COLDSTART_VERSION}});
  }
  return 0;
}

/// For completion: the names there are. Makes no store, and says nothing where it cannot be read.
std::vector<std::string> names_in_store(NameKind kind, const std::string& store) {
  const std::filesystem::path root = store.empty() ? default_store_root() : std::filesystem::path(store);
  std::vector<std::string> names;
  if (!std::filesystem::exists(root / "format")) return names;
  try {
    if (kind == NameKind::replica) {
      for (const Replica& replica : Replicas(root).list(false))
        names.push_back(replica.name.empty() ? replica.id : replica.name);
      return names;
    }
    const RefKind refs = kind == NameKind::image ? RefKind::image : RefKind::snapshot;
    for (const Ref& ref : Store::open(root)->refs(refs)) names.push_back(ref.name.text());
  } catch (const Error& e) {
    log::debug("completion: {}", e.message());
  }
  return names;
}

/// What our completions and our tests ask for; no part of the command line.
bool answer_tools(const CLI::App& app, const std::vector<std::string>& arguments, Console& console) {
  if (arguments.empty() || !arguments[0].starts_with("__")) return false;
  if (arguments[0] == "__describe") {
    console.raw() << describe(app).dump(2) << '\n';
  } else if (arguments[0] == "__complete") {
    console.raw() << to_text(complete(app, {arguments.begin() + 1, arguments.end()}, names_in_store));
  } else {
    return false;
  }
  return true;
}

int parse_and_run(CLI::App& app, std::vector<std::string> arguments, Session& session) {
  if (answer_tools(app, arguments, session.console)) return 0;
  if (arguments.empty()) arguments = {"--help"};
  if (arguments[0] == "help") {  // "help image pack" is "image pack --help"
    arguments.erase(arguments.begin());
    arguments.emplace_back("--help");
  }
  if (const auto dashes = std::find(arguments.begin(), arguments.end(), "--"); dashes != arguments.end()) {
    session.program.assign(dashes + 1, arguments.end());
    arguments.erase(dashes, arguments.end());
  }
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& e) {
    return show_parse_outcome(app, e, session.console);
  }
  return session.exit_status;
}

void write_timeline(const Session& session) {
  if (session.timeline_file.empty()) return;
  try {
    write_file_atomic(session.timeline_file, as_bytes(session.timeline.chrome_trace().dump()), 0644);
  } catch (const Error& e) {
    throw e.in("cannot write the timeline");
  }
}

/// Runs `work` and tells what it throws; gives the exit status.
template <class Work>
int told(Console& console, const CancelToken& cancel, Work work) {
  try {
    return work();
  } catch (const Error& e) {
    if (cancel.signal() == SIGPIPE) return 128 + SIGPIPE;  // nobody listens any more
    console.error(e);
    return static_cast<int>(e.exit());
  } catch (const std::exception& e) {
    console.error(Error(e.what()));
    return static_cast<int>(Exit::failed);
  }
}

std::unique_ptr<CLI::App> make_app(Session& session, const Entry* only) {
  auto app =
      std::make_unique<CLI::App>("Start GPU inference servers in seconds instead of minutes.", "coldstart");
  app->require_subcommand(1);
  app->fallthrough();
  app->formatter(std::make_shared<HelpFormatter>());
  add_global_options(*app, session, std::make_shared<GlobalOptions>());
  app->option_defaults()->group("Options");
  add_commands(*app, session, only);
  app->footer(
      "Examples:\n"
      "  coldstart image pack ./rootfs -t llm:v1\n"
      "  coldstart snapshot llm:v1 -t llm:warm --ready http://127.0.0.1:8000/health -- python3 "
      "/srv/serve.py\n"
      "  coldstart restore llm:warm -d\n"
      "\n"
      "'coldstart COMMAND --help' tells more of a command, 'man coldstart-COMMAND' all of it.");
  return app;
}

}  // namespace

std::unique_ptr<CLI::App> make_app(Session& session) {
  return make_app(session, nullptr);
}

int run_app(const std::vector<std::string>& arguments, Console& console, CancelToken& cancel) {
  console.json = given(arguments, "--json");
  Session session(console, cancel);
  // A command is made of several processes of this program, one after the other: each millisecond counts.
  const int status = told(console, cancel, [&] {
    return parse_and_run(*make_app(session, begun_with(arguments)), arguments, session);
  });
  // What is left to write tells its own failure, but never hides the command's.
  const int closing = told(console, cancel, [&] {
    write_timeline(session);
    console.flush();
    return 0;
  });
  return status != 0 ? status : closing;
}

}  // namespace coldstart
