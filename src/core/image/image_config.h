// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace coldstart {

/// How a program in the image wants to be started; from OCI images, else empty.
struct ImageConfig {
  std::vector<std::string> environment;  ///< "K=V"
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::string user;    ///< USER[:GROUP], names or numbers, as the image's own /etc/passwd and /etc/group say
  std::string folder;  ///< working folder
  bool operator==(const ImageConfig&) const = default;
};

}  // namespace coldstart
