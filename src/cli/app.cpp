// SPDX-License-Identifier: Apache-2.0
#include "cli/app.h"

#include <sstream>

#include <CLI/CLI.hpp>

#include "commands/commands.h"
#include "core/base/files.h"
#include "core/base/log.h"

namespace coldstart {

namespace {

struct GlobalOptions {
  bool json = false, quiet = false, verbose = false, no_progress = false;
  std::string store, timeline;
};

void add_global_options(CLI::App& app, Session& session, const std::shared_ptr<GlobalOptions>& options) {
  app.add_option("--store", options->store, "Folder of the store")->type_name("DIR");
  app.add_flag("--json", options->json, "Print one JSON document on stdout, nothing else there");
  auto* quiet = app.add_flag("-q,--quiet", options->quiet, "Say only what was asked for");
  app.add_flag("-v,--verbose", options->verbose, "Say what is being done")->excludes(quiet);
  app.add_flag("--no-progress", options->no_progress, "Draw no progress bar");
  app.add_option("--timeline", options->timeline, "Write every stage as a Chrome/Perfetto trace")
      ->type_name("FILE");
  app.set_version_flag("--version", std::string("coldstart " COLDSTART_VERSION),
                       "Print the version and exit");
  app.parse_complete_callback([&session, options] {
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
  });
}

/// What CLI11 has to say, in our words: help and version are results, all else is a usage error.
int show_parse_outcome(CLI::App& app, const CLI::ParseError& outcome, Console& console) {
  std::ostringstream out;
  std::ostringstream ignored;
  if (outcome.get_exit_code() == 0) {
    app.exit(outcome, out, ignored);
    console.raw() << out.str();
    return 0;
  }
  console.error(Error::usage(outcome.what(), "coldstart --help, or coldstart COMMAND --help"));
  return static_cast<int>(Exit::usage);
}

}  // namespace

std::unique_ptr<CLI::App> make_app(Session& session) {
  auto app =
      std::make_unique<CLI::App>("Start GPU inference servers in seconds instead of minutes.", "coldstart");
  app->require_subcommand(1);
  app->fallthrough();
  add_global_options(*app, session, std::make_shared<GlobalOptions>());
  add_doctor(*app, session);
  add_store(*app, session);
  return app;
}

int run_app(const std::vector<std::string>& arguments, Console& console, CancelToken& cancel) {
  Session session(console, cancel);
  const std::unique_ptr<CLI::App> app = make_app(session);
  int status = 0;
  try {
    app->parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    status = session.exit_status;
  } catch (const CLI::ParseError& e) {
    return show_parse_outcome(*app, e, console);
  } catch (const Error& e) {
    console.error(e);
    status = static_cast<int>(e.exit());
  } catch (const std::exception& e) {
    console.error(Error(e.what()));
    status = static_cast<int>(Exit::failed);
  }
  if (!session.timeline_file.empty()) {
    try {
      write_file_atomic(session.timeline_file, as_bytes(session.timeline.chrome_trace().dump()), 0644);
    } catch (const Error& e) {
      console.error(e.in("cannot write the timeline"));
      if (status == 0) status = static_cast<int>(e.exit());
    }
  }
  return status;
}

}  // namespace coldstart
