// SPDX-License-Identifier: Apache-2.0
#pragma once
// Who we are to an S3 server, and where it is: the environment variables and files that the AWS tools use.

#include <string>

namespace coldstart {

struct AwsAccess {
  std::string key_id, secret, session_token;  ///< empty: anonymous
  std::string region = "us-east-1";
  std::string endpoint;  ///< without '/' at its end; empty: Amazon's
  bool operator==(const AwsAccess&) const = default;

  /// Environment first, then the profile (AWS_PROFILE, else "default") in ~/.aws/credentials and
  /// ~/.aws/config (or where AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE say).
  static AwsAccess find();
};

}  // namespace coldstart
