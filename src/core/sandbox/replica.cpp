// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/replica.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr size_t kept_ended = 20;
constexpr std::pair<ReplicaState, const char*> states[] = {
    {ReplicaState::starting, "starting"}, {ReplicaState::running, "running"},
    {ReplicaState::frozen, "frozen"},     {ReplicaState::exited, "exited"},
    {ReplicaState::failed, "failed"},     {ReplicaState::lost, "lost"}};

std::string new_id() {
  unsigned char raw[6];
  if (::getrandom(raw, sizeof raw, 0) != sizeof raw) throw Error::sys("cannot get random bytes");
  std::string id;
  for (const unsigned char byte : raw) {
    id += "0123456789abcdef"[byte >> 4];
    id += "0123456789abcdef"[byte & 15];
  }
  return id;
}

void check_name(const std::string& name) {
  const auto plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  const bool good = !name.empty() && name.size() <= 128 && plain(name[0]) &&
                    std::all_of(name.begin(), name.end(),
                                [&](char c) { return plain(c) || c == '_' || c == '.' || c == '-'; });
  if (!good)
    throw Error::usage("not a name for a replica: '" + name + "'", "letters, digits, '_', '.' and '-'");
}

/// True if somebody holds the replica's lock. Shared, so that two who ask do not see each other.
bool supervised(const fs::path& folder) {
  return !FileLock::try_lock(folder / "lock", FileLock::Mode::shared);
}

/// A process that is still the one it was.
Fd pidfd_of(pid_t pid, uint64_t started) {
  if (pid <= 0) return {};
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd && errno != ESRCH) throw Error::sys("cannot watch process " + std::to_string(pid));
  if (start_time_of(pid) != started) return {};
  return fd;
}

void send(const Fd& pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) != 0 && errno != ESRCH)
    throw Error::sys("cannot signal the replica");
}

/// False if it still runs after `limit`.
bool wait_gone(const Fd& pidfd, std::chrono::milliseconds limit, const CancelToken& cancel) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    cancel.check();
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd polls[2] = {{pidfd.get(), POLLIN, 0}, {cancel.fd(), POLLIN, 0}};
    const int n = ::poll(polls, 2, static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1 << 30)));
    if (n < 0 && errno != EINTR) throw Error::sys("cannot poll");
    if (n > 0 && polls[0].revents != 0) return true;
    if (n == 0) return false;
  }
}

void remove_tree(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) log::warn("cannot remove {}: {}", folder.string(), error.message());
}

}  // namespace

const char* to_text(ReplicaState state) {
  for (const auto& [value, text] : states)
    if (value == state) return text;
  return "?";
}

const char* to_text(Net net) {
  return net == Net::host ? "host" : net == Net::none ? "none" : "private";
}

Net net_from(std::string_view text) {
  for (const Net net : {Net::host, Net::none, Net::isolated})
    if (text == to_text(net)) return net;
  throw Error::usage("not a network: '" + std::string(text) + "'", "host, none or private");
}

OrderedJson Replica::to_json() const {
  OrderedJson published = OrderedJson::array();
  for (const PortMapping& p : ports) published.push_back(p.text());
  OrderedJson json = {{"id", id},
                      {"name", name},
                      {"source", source},
                      {"command", command},
                      {"environment", environment},
                      {"folder", folder},
                      {"net", to_text(net)},
                      {"ports", std::move(published)},
                      {"state", to_text(state)},
                      {"pid", pid},
                      {"pid_inside", pid_inside},
                      {"supervisor", supervisor},
                      {"pid_started", pid_started},
                      {"supervisor_started", supervisor_started},
                      {"created", created},
                      {"ended", ended}};
  if (exit) json["exit"] = {{"code", exit->code}, {"signal", exit->signal}};
  if (!error.empty()) json["error"] = error;
  return json;
}

Replica Replica::from_json(const Json& json, const std::string& document) {
  const auto get = [&]<class T>(const char* key, T& into) { into = field<T>(json, key, document); };
  Replica r;
  get("id", r.id);
  get("name", r.name);
  get("source", r.source);
  get("command", r.command);
  get("environment", r.environment);
  get("folder", r.folder);
  r.net = net_from(field<std::string>(json, "net", document));
  for (const auto& p : field<std::vector<std::string>>(json, "ports", document))
    r.ports.push_back(PortMapping::parse(p));
  const auto state = field<std::string>(json, "state", document);
  for (const auto& [value, text] : states)
    if (text == state) r.state = value;
  get("pid", r.pid);
  get("pid_inside", r.pid_inside);
  get("supervisor", r.supervisor);
  get("pid_started", r.pid_started);
  get("supervisor_started", r.supervisor_started);
  get("created", r.created);
  get("ended", r.ended);
  if (json.contains("exit"))
    r.exit =
        ExitState{field<int>(json["exit"], "code", document), field<int>(json["exit"], "signal", document)};
  if (json.contains("error")) get("error", r.error);
  return r;
}

void write_state(const fs::path& folder, const Replica& replica) {
  const fs::path aside = folder / ".state.json";
  const std::string text = replica.to_json().dump(2, ' ', false, OrderedJson::error_handler_t::replace);
  write_full(open_file(aside, O_WRONLY | O_CREAT | O_TRUNC, 0600).get(), as_bytes(text));
  check(::rename(aside.c_str(), (folder / "state.json").c_str()), "cannot write the state of a replica");
}

Replicas::Replicas(const fs::path& store_root) : root_(fs::absolute(store_root) / "replicas") {}

ReplicaFolder Replicas::create(Replica& replica) {
  if (!replica.name.empty()) check_name(replica.name);
  make_folders(root_);
  const FileLock registry(root_ / "lock", FileLock::Mode::exclusive);
  const std::vector<Replica> others = collect_locked();
  if (!replica.name.empty()) {
    for (const Replica& other : others)
      if (other.alive() && other.name == replica.name)
        throw Error("the name '" + replica.name + "' is taken by the replica " + other.id,
                    "coldstart stop " + replica.name + ", or choose another --name");
  }
  replica.id = new_id();
  replica.created = std::time(nullptr);
  const fs::path folder = root_ / replica.id;
  check(::mkdir(folder.c_str(), 0700), "cannot create " + folder.string());
  FileLock lock(folder / "lock", FileLock::Mode::exclusive);
  write_state(folder, replica);
  return {folder, std::move(lock)};
}

Replica Replicas::read(const fs::path& folder) const {
  Replica replica = Replica::from_json(parse_json(read_text(folder / "state.json"), folder / "state.json"),
                                       folder / "state.json");
  if (replica.alive() && !supervised(folder)) {
    // It may have ended between our two looks.
    replica = Replica::from_json(parse_json(read_text(folder / "state.json"), folder / "state.json"),
                                 folder / "state.json");
    if (replica.alive()) replica.state = ReplicaState::lost;
  }
  return replica;
}

std::vector<Replica> Replicas::list(bool all) const {
  std::vector<Replica> result;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(root_, none)) {
    if (!fs::exists(entry.path() / "state.json", none)) continue;
    try {
      Replica replica = read(entry.path());
      const bool newly_lost = replica.state == ReplicaState::lost && replica.ended == 0;
      if (all || replica.alive() || newly_lost) result.push_back(std::move(replica));
    } catch (const Error& e) {
      if (fs::exists(entry.path(), none)) log::warn("{}", e.message());  // else it was collected meanwhile
    }
  }
  std::sort(result.begin(), result.end(), [](const Replica& a, const Replica& b) {
    return std::tie(b.created, b.id) < std::tie(a.created, a.id);
  });
  return result;
}

Replica Replicas::find(std::string_view which) const {
  const std::vector<Replica> all = list(true);
  for (const Replica& r : all)
    if (r.alive() && !which.empty() && r.name == which) return r;
  std::vector<const Replica*> found;
  for (const Replica& r : all)
    if (!which.empty() && r.id.starts_with(which)) found.push_back(&r);
  if (found.size() == 1) return *found[0];
  if (found.size() > 1)
    throw Error::not_found(std::to_string(found.size()) + " replicas begin with '" + std::string(which) + "'",
                           "coldstart ps -a");
  for (const Replica& r : all)
    if (!which.empty() && r.name == which) return r;
  throw Error::not_found("there is no replica '" + std::string(which) + "'", "coldstart ps -a");
}

Replica Replicas::find_running(std::string_view which) const {
  Replica replica = find(which);
  if (replica.state != ReplicaState::running)
    throw Error("the replica " + replica.id + " does not run: it is " + to_text(replica.state),
                replica.state == ReplicaState::frozen ? "an idle slot of a pool: coldstart pool claim" : "");
  return replica;
}

void Replicas::collect() const {
  std::error_code none;
  if (!fs::exists(root_, none)) return;
  const FileLock registry(root_ / "lock", FileLock::Mode::exclusive);
  collect_locked();
}

/// The registry's lock is held. Gives all replicas that there are.
std::vector<Replica> Replicas::collect_locked() const {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(root_, none)) {
    if (!entry.is_directory(none) || supervised(entry.path())) continue;
    remove_tree(entry.path() / "scratch");
    if (!fs::exists(entry.path() / "state.json", none)) remove_tree(entry.path());
  }
  size_t ended = 0;
  std::vector<Replica> replicas = list(true);
  for (Replica& replica : replicas) {
    if (replica.alive()) continue;
    if (++ended > kept_ended) {
      remove_tree(folder(replica));
    } else if (replica.state == ReplicaState::lost && replica.ended == 0) {
      replica.ended = std::time(nullptr);
      write_state(folder(replica), replica);
    }
  }
  return replicas;
}

void Replicas::stop(const Replica& replica, std::chrono::milliseconds patience,
                    const CancelToken& cancel) const {
  constexpr std::chrono::seconds for_cleaning(30);
  const Fd supervisor = pidfd_of(replica.supervisor, replica.supervisor_started);
  if (!supervisor) return;
  const Fd main = pidfd_of(replica.pid, replica.pid_started);
  send(main ? main : supervisor, SIGTERM);
  if (replica.state == ReplicaState::frozen) patience = {};  // it cannot listen
  if (main && !wait_gone(main, patience, cancel)) send(main, SIGKILL);
  if (wait_gone(supervisor, for_cleaning, cancel)) return;
  send(supervisor, SIGKILL);  // nothing inside outlives it
  wait_gone(supervisor, for_cleaning, cancel);
  collect();
}

}  // namespace coldstart
