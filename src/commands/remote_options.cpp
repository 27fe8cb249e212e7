// SPDX-License-Identifier: Apache-2.0
#include "commands/remote_options.h"

namespace coldstart {

void RemoteArguments::add_to(CLI::App& command) {
  command
      .add_option(
          "--remote-timeout", timeout,
          "How long a read from the remote may take before it is an error, also later on (default 30)")
      ->check(CLI::Range(0.1, 86400.0))
      ->type_name("SECONDS");
  command.add_option("--near", near, "A folder or an HTTP cache near by, to be asked before the remote")
      ->type_name("PLACE");
}

void RemoteArguments::add_limit_to(CLI::App& command) {
  command.add_option("--limit-rate", limit, "At most so many bytes a second, as in 10M")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("BYTES");
}

RemoteOptions RemoteArguments::options(Session& session) const {
  RemoteOptions options;
  options.deadline = std::chrono::milliseconds(static_cast<int64_t>(timeout * 1000));
  options.interactive = true;
  options.near = near.empty() ? near : normal_url(near);
  options.bytes_per_second = limit;
  options.cancel = &session.cancel;
  return options;
}

}  // namespace coldstart
