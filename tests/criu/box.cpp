// SPDX-License-Identifier: Apache-2.0
#include "box.h"

#include <array>
#include <chrono>
#include <thread>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace coldstart;
namespace fs = std::filesystem;

namespace {

std::string talk_here(int port, const std::string& text, bool line) {
  const Fd s(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{5, 0};
  ::setsockopt(s.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(s.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return {};
  write_full(s.get(), as_bytes(text));
  std::string answer;
  std::array<char, 4096> part{};
  for (ssize_t n = 0; (n = ::read(s.get(), part.data(), part.size())) > 0;) {
    answer.append(part.data(), static_cast<size_t>(n));
    if (line && answer.ends_with("\r\n")) break;
  }
  return answer;
}

}  // namespace

Box::Box(const fs::path& lower)
    : scratch_("/var/tmp", "coldstart-criu-"),
      sandbox_({.root = {.lower = lower, .scratch = scratch_.path()}, .net = Net::isolated}) {}

std::string Box::talk(int port, const std::string& text, bool line) const {
  std::string answer;
  std::thread([&] {  // of its own: it stays in the network namespace
    const Fd net = open_file("/proc/" + std::to_string(sandbox_.init_pid()) + "/ns/net", O_RDONLY);
    if (::setns(net.get(), CLONE_NEWNET) == 0) answer = talk_here(port, text, line);
  })
      .join();
  return answer;
}

std::string Box::ask(int port, const std::string& path) const {
  const std::string answer = talk(port, "GET " + path + " HTTP/1.0\r\n\r\n");
  const size_t body = answer.find("\r\n\r\n");
  return body == std::string::npos ? "" : answer.substr(body + 4);
}

std::string Box::ask_until_ready(int port, const std::string& path) const {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  std::string answer;
  while (answer.empty() && std::chrono::steady_clock::now() < deadline) {
    answer = ask(port, path);
    if (answer.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return answer;
}
