// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/mount_stat.h"

#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>

#include "core/base/fd.h"
#include "core/imagefs/imagefs.h"

namespace coldstart {

namespace fs = std::filesystem;

OrderedJson mount_stat(const fs::path& folder) {
  if (!is_image_mount(folder)) throw Error("no image is mounted on " + folder.string());
  const Fd root(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  auto answer = std::make_unique<MountStatAnswer>();
  if (!root || ::ioctl(root.get(), mount_stat_request, answer.get()) != 0) {
    const int error = errno;
    throw Error::sys(error, "cannot ask the server of " + folder.string(),
                     error == ENOTCONN ? "it is dead: coldstart umount " + folder.string() : "");
  }
  answer->text[sizeof answer->text - 1] = 0;
  const Json parsed = parse_json(answer->text, "the image server's answer");
  return OrderedJson::parse(answer->text);
}

namespace {

/// Prometheus' rules for label values.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\\' || c == '"') result += '\\';
    if (c == '\n')
      result += "\\n";
    else
      result += c;
  }
  return result;
}

class Exposition {
 public:
  explicit Exposition(const fs::path& folder) : mount_("mount=\"" + escaped(folder.string()) + '"') {}
  void family(const char* name, const char* type, const char* help) {
    name_ = name;
    text_ += fmt::format("# HELP coldstart_{0} {2}\n# TYPE coldstart_{0} {1}\n", name, type, help);
  }
  void sample(const Json& value, const std::string& labels = {}, const char* suffix = "") {
    text_ += fmt::format("coldstart_{}{}{{{}{}{}}} {}\n", name_, suffix, mount_, labels.empty() ? "" : ",",
                         labels, value.dump());
  }
  void single(const char* name, const char* type, const char* help, const Json& value) {
    family(name, type, help);
    sample(value);
  }
  std::string take() { return std::move(text_); }

 private:
  const std::string mount_;
  std::string name_, text_;
};

}  // namespace

std::string as_prometheus(const OrderedJson& ordered, const fs::path& folder) {
  const Json stat = Json::parse(ordered.dump());
  Exposition out(folder);
  for (const auto& [what, help] :
       {std::pair("hits", "Pieces of reads that a tier has answered; chunks that came from remotes."),
        std::pair("bytes", "Bytes that a tier has answered, or that came from remotes.")}) {
    const std::string name = fmt::format("tier_{}_total", what);
    out.family(name.c_str(), "counter", help);
    for (const auto& [tier, counters] : stat.at("tiers").items())
      out.sample(counters.at(what), fmt::format("tier=\"{}\"", tier));
  }
  const Json& fetch = stat.at("fetch_seconds");
  out.family("fetch_seconds", "summary", "Time to bring a chunk from the store or from elsewhere.");
  for (const auto& [key, q] : {std::pair("p50", "0.5"), std::pair("p90", "0.9"), std::pair("p99", "0.99")})
    out.sample(fetch.at(key), fmt::format("quantile=\"{}\"", q));
  out.sample(fetch.at("sum"), {}, "_sum");
  out.sample(fetch.at("count"), {}, "_count");
  out.single("opens_total", "counter", "Files opened.", stat.at("opens"));
  out.single("passed_through_total", "counter", "Opens that the kernel reads from the disk cache itself.",
             stat.at("passed_through"));
  out.single("cached_files_total", "counter", "Files added to the disk cache.", stat.at("cached_files"));
  out.single("cached_bytes_total", "counter", "Bytes added to the disk cache.", stat.at("cached_bytes"));
  out.single("errors_total", "counter", "Reads that failed.", stat.at("errors"));
  out.single("disk_cache_bytes", "gauge", "Size of the store's disk cache.",
             stat.at("disk_cache").at("bytes"));
  out.single("disk_cache_limit_bytes", "gauge", "Most that it may take.", stat.at("disk_cache").at("limit"));
  out.single("server_memory_bytes", "gauge", "Resident memory of the server.", stat.at("memory_bytes"));
  return out.take();
}

}  // namespace coldstart
