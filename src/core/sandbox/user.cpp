// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/user.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/base/open_inside.h"

namespace coldstart {

namespace {

constexpr size_t most_file_bytes = size_t{4} << 20;

using Fields = std::vector<std::string>;

Fields split(std::string_view text, char separator) {
  Fields fields;
  for (;;) {
    const size_t end = std::min(text.find(separator), text.size());
    fields.emplace_back(text.substr(0, end));
    if (end == text.size()) return fields;
    text.remove_prefix(end + 1);
  }
}

/// The lines of /etc/passwd or /etc/group that have at least `least` fields; none if there is no such file.
std::vector<Fields> read_table(int root, const std::string& path, size_t least) {
  const Fd fd = open_inside(root, path, O_RDONLY | O_NONBLOCK);
  struct stat st {};
  if (!fd || ::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return {};
  std::string text(std::min(static_cast<size_t>(st.st_size), most_file_bytes), '\0');
  text.resize(read_full(fd.get(), std::as_writable_bytes(std::span(text))));
  std::vector<Fields> table;
  for (const std::string& line : split(text, '\n'))
    if (Fields fields = split(line, ':'); fields.size() >= least) table.push_back(std::move(fields));
  return table;
}

std::optional<uint32_t> number(const std::string& text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value == UINT32_MAX)
    return std::nullopt;
  return value;
}

/// The line of that name, else that number: a name may look like a number.
const Fields* find(const std::vector<Fields>& table, const std::string& who) {
  for (const size_t field : {size_t{0}, size_t{2}})
    for (const Fields& line : table)
      if (line[field] == who) return &line;
  return nullptr;
}

uint32_t number_of(const Fields* line, size_t field, const std::string& who, const char* what) {
  const auto id = line != nullptr ? number((*line)[field]) : number(who);
  if (!id)
    throw Error(std::string("there is no ") + what + " '" + who + "' inside",
                std::string("it is looked up in the image's own /etc/") +
                    (std::string_view(what) == "user" ? "passwd" : "group"));
  return *id;
}

}  // namespace

Identity resolve_user(int root, const std::string& user) {
  const size_t colon = user.find(':');
  const std::string name = user.substr(0, colon).empty() ? "0" : user.substr(0, colon);
  const std::string group = colon == std::string::npos ? "" : user.substr(colon + 1);
  const auto users = read_table(root, "etc/passwd", 6);
  const auto groups = read_table(root, "etc/group", 4);
  const Fields* line = find(users, name);
  Identity who;
  who.ids.uid = number_of(line, 2, name, "user");
  who.home = line != nullptr && (*line)[5].starts_with('/') ? (*line)[5] : "/";
  if (!group.empty()) {
    who.ids.gid = number_of(find(groups, group), 2, group, "group");
    who.ids.groups = {who.ids.gid};
    return who;
  }
  who.ids.gid = line != nullptr ? number_of(line, 3, name, "group") : 0;
  who.ids.groups = {who.ids.gid};
  for (const Fields& g : groups) {
    const Fields members = split(g[3], ',');
    const auto id = number(g[2]);
    if (line != nullptr && id && *id != who.ids.gid &&
        std::find(members.begin(), members.end(), (*line)[0]) != members.end())
      who.ids.groups.push_back(*id);
  }
  return who;
}

void make_folder_inside(int root, const std::string& folder) {
  const auto failed = [&](const std::string& at) {
    return Error::sys("cannot make the working folder " + at + " inside", {}, Exit::cannot_execute);
  };
  std::string at;
  for (const std::string& name : split(folder, '/')) {
    if (name.empty()) continue;
    const Fd parent = open_inside(root, at.empty() ? "." : at, O_PATH | O_DIRECTORY);
    if (!parent) throw failed("/" + at);
    at += at.empty() ? name : "/" + name;
    if (open_inside(root, at, O_PATH | O_DIRECTORY)) continue;
    if (::mkdirat(parent.get(), name.c_str(), 0755) != 0) throw failed("/" + at);
  }
}

}  // namespace coldstart
