// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/criu_program.h"

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/subprocess.h"
#include "core/checkpoint/host_facts.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

std::string environment_or(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

/// The dynamic loader that an ELF file asks for; empty if it is no ELF file or asks for none.
std::string interpreter_of(const fs::path& file) {
  std::array<std::byte, 4096> head{};
  const size_t size = read_full(open_file(file, O_RDONLY).get(), head);
  if (size < sizeof(Elf64_Ehdr) || std::memcmp(head.data(), ELFMAG, SELFMAG) != 0) return {};
  const auto elf = load<Elf64_Ehdr>(head.data());
  for (size_t i = 0; i < elf.e_phnum; ++i) {
    const size_t at = elf.e_phoff + i * sizeof(Elf64_Phdr);
    if (at > size || size - at < sizeof(Elf64_Phdr)) break;
    const auto part = load<Elf64_Phdr>(head.data() + at);
    if (part.p_type != PT_INTERP || part.p_offset > size || size - part.p_offset < part.p_filesz) continue;
    const auto* text = reinterpret_cast<const char*>(head.data() + part.p_offset);
    return {text, strnlen(text, part.p_filesz)};
  }
  return {};
}

/// The first file in one of `folders` (below `root`) whose name starts so; relative to `root`.
fs::path find_below(const fs::path& root, const std::vector<fs::path>& folders, std::string_view start) {
  std::error_code failed;
  for (const fs::path& folder : folders)
    for (const auto& entry : fs::directory_iterator(root / folder, failed))
      if (entry.path().filename().string().starts_with(start)) return folder / entry.path().filename();
  return {};
}

std::vector<fs::path> folders_below(const fs::path& root, const fs::path& folder) {
  std::vector<fs::path> result;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(root / folder, failed))
    if (entry.is_directory(failed)) result.push_back(folder / entry.path().filename());
  return result;
}

/// "4.2.1" of what `criu --version` says; empty if it cannot be run or says none. `scripts/setup criu` writes
/// it down beside what it installs, which saves each restore from asking.
std::string version_of(const fs::path& criu) {
  const fs::path noted = criu.parent_path().parent_path() / "criu-version";
  std::istringstream words;
  if (std::string version; std::ifstream(noted) >> version && ::access(criu.c_str(), X_OK) == 0)
    return version;
  try {
    words.str(run_program({criu.string(), "--version"}).out);
  } catch (const Error&) {
    return {};
  }
  for (std::string word; words >> word;)
    if (word == "Version:" && words >> word) return word;
  return {};
}

/// Where it may be, best first. Only those that are there.
std::vector<fs::path> candidates() {
  std::vector<fs::path> all;
  all.push_back(fs::path(environment_or("COLDSTART_CRIU_PREFIX", "/opt/coldstart/criu")) / "bin/criu");
  std::istringstream folders(environment_or("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"));
  for (std::string folder; std::getline(folders, folder, ':');) all.push_back(fs::path(folder) / "criu");
  std::erase_if(all, [](const fs::path& p) { return ::access(p.c_str(), X_OK) != 0; });
  return all;
}

}  // namespace

CriuProgram::Layout CriuProgram::layout_of(const fs::path& file) {
  const fs::path real = fs::canonical(file);
  const std::string interpreter = interpreter_of(real);
  if (!interpreter.empty()) {
    const fs::path loader = fs::canonical(interpreter);
    return {"/", loader.relative_path(), loader.parent_path().relative_path(), real.relative_path()};
  }
  // What `scripts/setup criu` makes: a script in bin/, the packages' files in usr/.
  const fs::path root = real.parent_path().parent_path();
  const fs::path loader = find_below(root, {"usr/lib64", "usr/lib"}, "ld-linux-");
  const fs::path libc = find_below(root, folders_below(root, "usr/lib"), "libc.so.");
  if (loader.empty() || libc.empty() || !fs::exists(root / "usr/sbin/criu"))
    throw Error::missing(file.string() + " is neither a program nor a folder of 'scripts/setup criu'");
  return {root, loader, libc.parent_path(), "usr/sbin/criu"};
}

CriuProgram CriuProgram::find() {
  const std::string chosen = environment_or("COLDSTART_CRIU", "");
  std::vector<std::string> refused;
  for (const fs::path& path : chosen.empty() ? candidates() : std::vector<fs::path>{chosen}) {
    CriuProgram criu;
    criu.path_ = path;
    criu.version_ = version_of(path);
    if (criu.version_.empty()) {
      refused.push_back(path.string() + " does not run");
    } else if (compare_versions(criu.version_, least_criu_version) < 0) {
      refused.push_back(fmt::format("{} is {}", path.string(), criu.version_));
    } else {
      criu.layout_ = layout_of(path);
      return criu;
    }
  }
  throw Error::missing(fmt::format("no CRIU {} or newer{}{}", least_criu_version, refused.empty() ? "" : ": ",
                                   fmt::join(refused, ", ")),
                       "run 'scripts/setup criu', or name one in COLDSTART_CRIU");
}

Fd CriuProgram::open_root() const {
  return open_file(layout_.root, O_PATH | O_DIRECTORY);
}

std::vector<std::string> CriuProgram::start_by(int root) const {
  const fs::path at = fmt::format("/proc/self/fd/{}", root);
  return {at / layout_.loader, "--library-path", at / layout_.libraries, at / layout_.binary};
}

}  // namespace coldstart
