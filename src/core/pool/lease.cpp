// SPDX-License-Identifier: Apache-2.0
#include "core/pool/lease.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/subprocess.h"

namespace coldstart {

namespace fs = std::filesystem;

const char* to_text(LeaseEnd end) {
  return end == LeaseEnd::end ? "end" : "give_back";
}

OrderedJson Lease::to_json() const {
  return {{"id", slot.id},
          {"pid", slot.pid},
          {"pid_started", slot.pid_started},
          {"ports", slot.ports},
          {"holder", holder},
          {"holder_started", holder_started},
          {"at_end", to_text(at_end)}};
}

Lease Lease::from_json(const Json& json, const std::string& document) {
  const auto get = [&]<class T>(const char* key, T& into) { into = field<T>(json, key, document); };
  Lease lease;
  get("id", lease.slot.id);
  get("pid", lease.slot.pid);
  get("pid_started", lease.slot.pid_started);
  get("ports", lease.slot.ports);
  get("holder", lease.holder);
  get("holder_started", lease.holder_started);
  const auto end = field<std::string>(json, "at_end", document);
  lease.at_end = end == to_text(LeaseEnd::give_back) ? LeaseEnd::give_back : LeaseEnd::end;
  return lease;
}

Journal::Journal(fs::path folder) : folder_(std::move(folder)) {
  make_folders(folder_);
}

void Journal::write(const Lease& lease) {
  const fs::path file = folder_ / (lease.slot.id + ".json");
  const fs::path aside = folder_ / ("." + lease.slot.id);
  write_full(open_file(aside, O_WRONLY | O_CREAT | O_TRUNC).get(), as_bytes(lease.to_json().dump()));
  check(::rename(aside.c_str(), file.c_str()), "cannot write a lease");
}

void Journal::remove(const std::string& id) noexcept {
  if (::unlink((folder_ / (id + ".json")).c_str()) != 0 && errno != ENOENT)
    log::warn("cannot remove the lease of {}: errno {}", id, errno);
}

std::vector<Lease> Journal::read() const {
  std::vector<Lease> leases;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string file = entry.path();
    try {
      if (entry.path().extension() != ".json") throw Error(file + " is half written");
      leases.push_back(Lease::from_json(parse_json(read_text(file, 1 << 20), file), file));
    } catch (const Error& e) {
      log::warn("{}", e.message());
      std::error_code none;
      fs::remove(entry.path(), none);
    }
  }
  return leases;
}

Fd holder_fd(pid_t pid, uint64_t started) {
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd && errno != ESRCH && errno != EINVAL)
    throw Error::sys("cannot watch the process " + std::to_string(pid));
  if (fd && started != 0 && start_time_of(pid) != started) return {};
  return fd;
}

}  // namespace coldstart
