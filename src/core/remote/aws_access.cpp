// SPDX-License-Identifier: Apache-2.0
#include "core/remote/aws_access.h"

#include <cstdlib>
#include <map>
#include <sstream>

#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"

namespace coldstart {

namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

using Settings = std::map<std::string, std::string>;

/// The settings of one section of an ini file; none if there is no such file or section.
Settings read_section(const std::string& file, const std::string& section) {
  Settings settings;
  if (file.empty() || ::access(file.c_str(), R_OK) != 0) return settings;
  std::istringstream lines(read_text(file, 1 << 20));
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    const bool nested = !line.empty() && (line[0] == ' ' || line[0] == '\t');  // "s3 =" and what is below it
    line = trimmed(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') {
      inside = trimmed(line.substr(1, line.find(']') - 1)) == section;
    } else if (const size_t equals = line.find('='); inside && !nested && equals != std::string::npos) {
      settings[trimmed(line.substr(0, equals))] = trimmed(line.substr(equals + 1));
    }
  }
  return settings;
}

std::string file_of(const char* variable, const char* in_home) {
  if (std::string named = environment(variable); !named.empty()) return named;
  const std::string home = environment("HOME");
  return home.empty() ? std::string() : home + in_home;
}

void take(std::string& into, const Settings& settings, const char* name) {
  const auto at = settings.find(name);
  if (at != settings.end() && !at->second.empty()) into = at->second;
}

void take(std::string& into, const char* variable) {
  if (const std::string value = environment(variable); !value.empty()) into = value;
}

}  // namespace

AwsAccess AwsAccess::find() {
  std::string profile = environment("AWS_PROFILE");
  if (profile.empty()) profile = "default";
  AwsAccess access;
  const std::string config_section = profile == "default" ? profile : "profile " + profile;
  const Settings sources[] = {
      read_section(file_of("AWS_CONFIG_FILE", "/.aws/config"), config_section),
      read_section(file_of("AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials"), profile)};
  for (const Settings& settings : sources) {
    take(access.region, settings, "region");
    take(access.endpoint, settings, "endpoint_url");
    if (!settings.contains("aws_access_key_id")) continue;
    access.session_token.clear();
    take(access.key_id, settings, "aws_access_key_id");
    take(access.secret, settings, "aws_secret_access_key");
    take(access.session_token, settings, "aws_session_token");
  }
  if (!environment("AWS_ACCESS_KEY_ID").empty()) {
    access.key_id = environment("AWS_ACCESS_KEY_ID");
    access.secret = environment("AWS_SECRET_ACCESS_KEY");
    access.session_token = environment("AWS_SESSION_TOKEN");
  }
  take(access.region, "AWS_DEFAULT_REGION");
  take(access.region, "AWS_REGION");
  take(access.endpoint, "AWS_ENDPOINT_URL");
  take(access.endpoint, "AWS_ENDPOINT_URL_S3");
  while (access.endpoint.ends_with('/')) access.endpoint.pop_back();
  if (!access.key_id.empty() && access.secret.empty())
    throw Error::missing("there is an AWS access key without its secret", "set AWS_SECRET_ACCESS_KEY");
  return access;
}

}  // namespace coldstart
