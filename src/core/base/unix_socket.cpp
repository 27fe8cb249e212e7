// SPDX-License-Identifier: Apache-2.0
#include "core/base/unix_socket.h"

#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/error.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

sockaddr_un address_in(const Fd& folder, const fs::path& file) {
  const std::string path = fmt::format("/proc/self/fd/{}/{}", folder.get(), file.filename().string());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw Error("the name is too long for a socket: " + file.string());
  path.copy(address.sun_path, path.size());
  return address;
}

Fd make_socket(int type) {
  return Fd(check(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0), "cannot make a socket"));
}

}  // namespace

Fd listen_on(const fs::path& file, int type, int backlog) {
  Fd fd = make_socket(type);
  const Fd folder = open_file(file.parent_path(), O_PATH | O_DIRECTORY);
  const sockaddr_un address = address_in(folder, file);
  if (::unlink(address.sun_path) != 0 && errno != ENOENT) throw Error::sys("cannot replace " + file.string());
  const std::string doing = "cannot listen on " + file.string();
  check(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), doing);
  check(::listen(fd.get(), backlog), doing);
  return fd;
}

std::optional<Fd> connect_to(const fs::path& file, int type) {
  const Fd folder(::open(file.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder && errno == ENOENT) return std::nullopt;
  if (!folder) throw Error::sys("cannot open " + file.parent_path().string());
  Fd fd = make_socket(type);
  const sockaddr_un address = address_in(folder, file);
  while (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EINTR) continue;
    if (errno == ENOENT || errno == ECONNREFUSED) return std::nullopt;
    throw Error::sys("cannot connect to " + file.string());
  }
  return fd;
}

}  // namespace coldstart
