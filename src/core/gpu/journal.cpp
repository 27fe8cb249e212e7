// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/journal.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/subprocess.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view first_words = "coldstart gpu journal 1 ";
constexpr size_t size_limit = size_t{1} << 20;

fs::path folder_of(const fs::path& store_root) {
  return store_root / "gpu";
}

std::string boot_id() {
  std::string id = read_text("/proc/sys/kernel/random/boot_id", 64);
  std::erase(id, '\n');
  return id;
}

/// The next word of a line; empty at its end.
std::string_view next_word(std::string_view& line) {
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(std::min(line.size(), word.size() + 1));
  return word;
}

template <class T>
bool parse_number(std::string_view word, T& into) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), into);
  return error == std::errc() && end == word.data() + word.size() && !word.empty();
}

JournalledProcess& entry_of(std::vector<JournalledProcess>& processes, pid_t pid, uint64_t started) {
  const auto it = std::find_if(processes.begin(), processes.end(), [&](const JournalledProcess& p) {
    return p.pid == pid && p.started == started;
  });
  if (it != processes.end()) return *it;
  processes.push_back({pid, started, 0, false});
  return processes.back();
}

void take(std::vector<JournalledProcess>& processes, std::string_view step, pid_t pid, uint64_t started) {
  JournalledProcess& entry = entry_of(processes, pid, started);
  if (step == "restore") ++entry.restores;
  if (step == "failed") entry.restore_failed = true;
}

}  // namespace

bool JournalledProcess::alive() const {
  return started != 0 && start_time_of(pid) == started;
}

std::vector<JournalledProcess> parse_gpu_journal(std::string_view text, const std::string& document,
                                                 std::string_view boot_id, bool& current_boot) {
  std::vector<JournalledProcess> processes;
  bool header = true;
  current_boot = true;
  for (size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (header) {
      if (!line.starts_with(first_words)) throw Error::corrupt(document + " is no GPU journal");
      current_boot = line.substr(first_words.size()) == boot_id;
      header = false;
      continue;
    }
    const std::string_view step = next_word(line);
    pid_t pid = 0;
    uint64_t started = 0;
    if (!parse_number(next_word(line), pid) || !parse_number(next_word(line), started) || pid <= 0 ||
        started == 0)
      throw Error::corrupt(document + ": a line is not 'STEP PID START'");
    take(processes, step, pid, started);
  }
  return processes;
}

GpuJournal GpuJournal::create(const fs::path& store_root) {
  const fs::path folder = folder_of(store_root);
  make_folders(folder);
  const fs::path path = folder / fmt::format("{}-{}.journal", ::getpid(), start_time_of(::getpid()));
  // Not seen by others before it is locked and has its first line.
  const fs::path aside = folder / fmt::format(".{}.new", ::getpid());
  fs::remove(aside);
  FileLock lock(aside, FileLock::Mode::exclusive);
  write_full(lock.fd(), as_bytes(fmt::format("{}{}\n", first_words, boot_id())));
  check(::fdatasync(lock.fd()), "cannot fsync " + aside.string());
  fs::rename(aside, path);
  sync_folder(folder);
  return {path, std::move(lock)};
}

std::vector<GpuJournal> GpuJournal::orphans(const fs::path& store_root) {
  std::vector<GpuJournal> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder_of(store_root), none)) {
    if (entry.path().extension() != ".journal") continue;
    std::optional<FileLock> lock = FileLock::try_lock(entry.path(), FileLock::Mode::exclusive);
    if (!lock) continue;  // its controller is at work
    bool current_boot = false;
    GpuJournal journal(entry.path(), std::move(*lock));
    journal.processes_ = parse_gpu_journal(read_text(entry.path(), size_limit), entry.path().string(),
                                           boot_id(), current_boot);
    const bool needed = current_boot && std::any_of(journal.processes_.begin(), journal.processes_.end(),
                                                    [](const JournalledProcess& p) { return p.alive(); });
    if (needed)
      found.push_back(std::move(journal));
    else
      journal.remove();
  }
  return found;
}

void GpuJournal::note(std::string_view step, pid_t pid, uint64_t started) {
  const std::lock_guard lock(*mutex_);
  check(::lseek(lock_.fd(), 0, SEEK_END), "cannot seek in " + path_.string());
  write_full(lock_.fd(), as_bytes(fmt::format("{} {} {}\n", step, pid, started)));
  check(::fdatasync(lock_.fd()), "cannot fsync " + path_.string());
  take(processes_, step, pid, started);
}

std::vector<JournalledProcess> GpuJournal::processes() const {
  const std::lock_guard lock(*mutex_);
  return processes_;
}

void GpuJournal::remove() {
  const std::lock_guard lock(*mutex_);
  if (::unlink(path_.c_str()) != 0 && errno != ENOENT)
    log::warn("cannot remove {}: {}", path_.string(), std::generic_category().message(errno));
}

}  // namespace coldstart
