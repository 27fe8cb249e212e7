// SPDX-License-Identifier: Apache-2.0
// pool claim, release, status, drain, stop: what clients of a pool ask.
#include <cerrno>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>

#include "commands/commands.h"
#include "commands/pool_commands.h"
#include "core/base/progress_task.h"
#include "core/base/subprocess.h"
#include "core/pool/client.h"

namespace coldstart {

namespace {

using std::chrono::milliseconds;

struct Options {
  std::string pool, id;
  double timeout = 30;
  pid_t holder = 0;
  bool give_back = false;
  bool all = false;
};

constexpr milliseconds answer_time(10000);

Json ask(Session& session, const std::string& pool, const std::string& method, const std::string& path,
         const OrderedJson& body = OrderedJson::object(), milliseconds timeout = answer_time) {
  return ask_pool(PoolDirectory(session.store_root).find(pool), method, path, body, timeout, session.cancel);
}

const char* end_of(const Options& options) {
  return options.give_back ? "give_back" : "end";
}

void claim(Session& session, const Options& options) {
  OrderedJson body = {{"timeout", options.timeout}, {"at_end", end_of(options)}};
  if (options.holder != 0) body["holder"] = options.holder;
  const Json json = ask(session, options.pool, "POST", "/v1/claim", body,
                        answer_time + milliseconds(std::llround(options.timeout * 1000)));
  const std::string document = "the pool's answer";
  const auto ports = field<std::vector<std::string>>(json, "ports", document);
  session.console.line(fmt::format("{}  runs after {}{}{}", field<std::string>(json, "id", document),
                                   human_seconds(field<double>(json, "claim_seconds", document)),
                                   ports.empty() ? "" : "  ", fmt::join(ports, " ")));
  session.console.result(json);
}

/// The pool that has it, if none is named.
void release(Session& session, const Options& options) {
  const OrderedJson body = {{"id", options.id}, {"at_end", end_of(options)}};
  const PoolDirectory directory(session.store_root);
  std::vector<PoolEntry> pools =
      options.pool.empty() ? directory.list() : std::vector{directory.find(options.pool)};
  for (const PoolEntry& pool : pools) {
    try {
      ask_pool(pool, "POST", "/v1/release", body, answer_time, session.cancel);
      session.console.line(options.id);
      session.console.result({{"released", options.id}});
      return;
    } catch (const Error& e) {
      if (e.exit() != Exit::not_found) throw;
    }
  }
  throw Error::not_found("no replica '" + options.id + "' is claimed", "coldstart pool status");
}

void status(Session& session, const Options& options) {
  const PoolDirectory directory(session.store_root);
  const std::vector<PoolEntry> pools =
      options.pool.empty() ? directory.list() : std::vector{directory.find(options.pool)};
  std::vector<std::vector<std::string>> rows;
  OrderedJson list = OrderedJson::array();
  const std::string document = "the pool's answer";
  for (const PoolEntry& pool : pools) {
    const Json json = ask_pool(pool, "GET", "/v1/status", OrderedJson::object(), answer_time, session.cancel);
    const auto number = [&](const char* key) { return std::to_string(field<uint64_t>(json, key, document)); };
    rows.push_back({pool.name, pool.snapshot, number("idle"), number("warming"), number("claimed"),
                    number("waiting"), number("unhealthy"),
                    fmt::format("{:.1f} %", field<double>(json, "hit_rate", document) * 100)});
    if (const auto why = field<std::string>(json, "last_failure", document); !why.empty())
      session.console.note(fmt::format("{}: {}", pool.name, why));
    list.push_back(OrderedJson(json));
    list.back()["snapshot"] = pool.snapshot;
    list.back()["listen"] = pool.listen;
  }
  session.console.table(
      {"POOL", "SNAPSHOT", ">IDLE", ">WARMING", ">CLAIMED", ">WAITING", ">UNHEALTHY", ">HIT RATE"}, rows);
  if (options.pool.empty() && pools.size() != 1)
    session.console.result(list);
  else
    session.console.result(list[0]);
}

/// Waits for the end of a process, for ever if `longest` is negative. False: it has not ended.
bool ends(const Fd& process, milliseconds longest, const CancelToken& cancel) {
  pollfd polls[2] = {{process.get(), POLLIN, 0}, {cancel.fd(), POLLIN, 0}};
  for (;;) {
    const int n = ::poll(polls, 2, static_cast<int>(longest.count()));
    if (n < 0 && errno != EINTR) throw Error::sys("cannot wait for the pool's service");
    cancel.check();
    if (n >= 0) return polls[0].revents != 0;
  }
}

/// Returns once the service has ended: its name is free then, and so is what its slots had.
void stop(Session& session, const Options& options) {
  const PoolEntry pool = PoolDirectory(session.store_root).find(options.pool);
  Json told = Json::object();
  Fd service;
  try {
    service = open_pidfd(pool.pid);
  } catch (const Error& e) {
    if (e.error_number() != ESRCH) throw;
    session.console.result(told);  // another stop has just ended it
    return;
  }
  const ProgressTask task(session.operation().progress, "ending its slots", 0, Progress::Unit::steps);
  try {
    told = ask_pool(pool, "POST", "/v1/stop", {{"all", options.all}}, answer_time, session.cancel);
  } catch (const Error&) {
    // One that somebody has stopped already listens no more, and ends soon.
    if (options.all || !ends(service, answer_time, session.cancel)) throw;
  }
  ends(service, milliseconds(-1), session.cancel);
  session.console.result(told);
}

void add_pool_argument(CLI::App& command, Options& options) {
  command.add_option("pool", options.pool, "Its name; may be left out if there is only one")
      ->type_name("POOL");
}

void add_give_back(CLI::App& command, Options& options, const char* text) {
  command.add_flag("--give-back", options.give_back, text);
}

template <class Work>
CLI::App* add(CLI::App& pool, Session& session, const std::shared_ptr<Options>& options, const char* name,
              const char* description, Work work) {
  auto* command = pool.add_subcommand(name, description);
  command->callback([&session, options, work] { work(session, *options); });
  return command;
}

}  // namespace

void add_pool_clients(CLI::App& pool, Session& session) {
  auto options = std::make_shared<Options>();
  auto* claiming = add(pool, session, options, "claim", "Take an idle slot: its replica runs", claim);
  add_pool_argument(*claiming, *options);
  claiming->add_option("--timeout", options->timeout, "Time to wait for a slot")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  claiming->add_option("--for", options->holder, "The replica is given up when this process ends")
      ->type_name("PID")
      ->check(CLI::PositiveNumber);
  add_give_back(*claiming, *options, "When the lease ends, the replica is used again (release, claim --for)");

  auto* releasing = add(pool, session, options, "release", "Give a claimed replica up: it ends", release);
  releasing->add_option("replica", options->id, "Its id")->required()->type_name("REPLICA");
  releasing->add_option("--pool", options->pool, "The pool it is of")->type_name("POOL");
  add_give_back(*releasing, *options, "It does not end, but is used again");

  add_pool_argument(*add(pool, session, options, "status", "What pools have and did", status), *options);
  const auto tell = [](const char* path) {
    return [path](Session& s, const Options& o) { s.console.result(ask(s, o.pool, "POST", path)); };
  };
  add_pool_argument(*add(pool, session, options, "drain", "No claims any more; it ends with the last lease",
                         tell("/v1/drain")),
                    *options);
  auto* stopping = add(pool, session, options, "stop", "End the service; claimed replicas run on", stop);
  add_pool_argument(*stopping, *options);
  stopping->add_flag("--all", options->all, "End claimed replicas, too");
}

}  // namespace coldstart
