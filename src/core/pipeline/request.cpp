// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/request.h"

#include <fcntl.h>
#include <fmt/format.h>

#include "core/base/capture.h"
#include "core/base/error.h"
#include "core/sandbox/http.h"
#include "core/sandbox/sandbox.h"

namespace coldstart {

namespace {

Answer ask_url(const std::string& url, int netns, std::chrono::milliseconds timeout,
               const CancelToken& cancel) {
  HttpAnswer answer = http_get(url, netns, timeout, cancel);
  const bool ok = answer.status >= 200 && answer.status <= 299;
  std::string reason = ok                   ? std::string()
                       : answer.status == 0 ? std::move(answer.failure)
                                            : fmt::format("HTTP {}", answer.status);
  return {ok, std::move(answer.body), std::move(reason)};
}

Answer run_command(const std::string& command, const RequestTarget& target, std::chrono::milliseconds timeout,
                   const CancelToken& cancel) {
  const auto start = [&](const FdPairs& fds) {
    ProgramSpec spec;
    spec.argv = {"sh", "-c", command};
    spec.environment = target.environment;
    spec.fds = fds;
    return start_in_namespaces_of(target.pid, spec);
  };
  Output output = run_to_end("'" + command + "'", start, timeout, &cancel);
  if (output.exit.ok()) return {true, std::move(output.out), {}};
  while (output.err.ends_with('\n')) output.err.pop_back();
  return {
      false, std::move(output.out),
      fmt::format("exit status {}{}{}", output.exit.status(), output.err.empty() ? "" : ": ", output.err)};
}

}  // namespace

Answer ask(const Request& request, const RequestTarget& target, std::chrono::milliseconds timeout,
           const CancelToken& cancel) {
  if (!is_http_url(request.text)) return run_command(request.text, target, timeout, cancel);
  const Fd netns = open_file(fmt::format("/proc/{}/ns/net", target.pid), O_RDONLY);
  return ask_url(request.text, netns.get(), timeout, cancel);
}

}  // namespace coldstart
