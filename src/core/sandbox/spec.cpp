// SPDX-License-Identifier: Apache-2.0
// A replica's spec as JSON, and the environment of programs.

#include <algorithm>
#include <cstdlib>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/sandbox/replica.h"
#include "core/sandbox/supervisor.h"

namespace coldstart {

OrderedJson ReplicaSpec::to_json() const {
  OrderedJson bound = OrderedJson::array();
  for (const Bind& b : binds)
    bound.push_back({{"source", b.source}, {"target", b.target}, {"read_only", b.read_only}});
  OrderedJson published = OrderedJson::array();
  for (const PortMapping& p : ports) published.push_back(p.text());
  return {{"store", store},
          {"id", id},
          {"name", name},
          {"source", source},
          {"image", image ? image->text() : ""},
          {"record", record},
          {"far_trace", far_trace ? far_trace->text() : ""},
          {"rootfs", rootfs},
          {"binds", std::move(bound)},
          {"net", to_text(net)},
          {"ports", std::move(published)},
          {"program",
           {{"argv", program.argv},
            {"environment", program.environment},
            {"folder", program.folder},
            {"make_folder", program.make_folder},
            {"user", program.user},
            {"pid_inside", program.pid_inside}}},
          {"stdin_from_caller", stdin_from_caller},
          {"output_to_caller", output_to_caller},
          {"launch_when_told", launch_when_told},
          {"ready", ready.to_json()},
          {"launch", launch}};
}

ReplicaSpec ReplicaSpec::from_json(const Json& json, const std::string& document) {
  const auto get = [&]<class T>(const Json& from, const char* key, T& into) {
    into = field<T>(from, key, document);
  };
  ReplicaSpec s;
  s.store = field<std::string>(json, "store", document);
  get(json, "id", s.id);
  get(json, "name", s.name);
  get(json, "source", s.source);
  const auto get_digest = [&](const char* key, std::optional<Digest>& into) {
    const auto text = field<std::string>(json, key, document);
    if (!text.empty() && !(into = Digest::parse(text)))
      throw Error::corrupt(document + ": not a digest: " + text);
  };
  get_digest("image", s.image);
  s.record = field<std::string>(json, "record", document);
  if (json.contains("far_trace")) get_digest("far_trace", s.far_trace);  // not from an earlier version
  s.rootfs = field<std::string>(json, "rootfs", document);
  for (const Json& b : field<Json>(json, "binds", document))
    s.binds.push_back({field<std::string>(b, "source", document), field<std::string>(b, "target", document),
                       field<bool>(b, "read_only", document)});
  s.net = net_from(field<std::string>(json, "net", document));
  for (const auto& p : field<std::vector<std::string>>(json, "ports", document))
    s.ports.push_back(PortMapping::parse(p));
  const Json program = field<Json>(json, "program", document);
  get(program, "argv", s.program.argv);
  get(program, "environment", s.program.environment);
  get(program, "folder", s.program.folder);
  get(program, "make_folder", s.program.make_folder);
  get(program, "user", s.program.user);
  get(program, "pid_inside", s.program.pid_inside);
  get(json, "stdin_from_caller", s.stdin_from_caller);
  get(json, "output_to_caller", s.output_to_caller);
  get(json, "launch_when_told", s.launch_when_told);
  s.ready = Readiness::from_json(field<Json>(json, "ready", document), document);
  s.launch = field<Json>(json, "launch", document);
  return s;
}

ReplicaSpec read_spec() {
  const Fd fd(SupervisorFds::spec);
  const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  return ReplicaSpec::from_json(parse_json(read_text(path), "the replica's spec"), "the replica's spec");
}

std::vector<std::string> program_environment(const std::vector<std::string>& wanted,
                                             const std::string& user) {
  std::vector<std::string> result = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  if (user.empty()) result.emplace_back("HOME=/root");
  result.emplace_back("TERM=xterm");
  for (const std::string& variable : wanted) {
    const std::string key = variable.substr(0, variable.find('=') + 1);
    if (key.size() < 2)
      throw Error::usage("not an environment variable: '" + variable + "'", "it is NAME=VALUE");
    const auto same =
        std::find_if(result.begin(), result.end(), [&](const std::string& v) { return v.starts_with(key); });
    if (same != result.end())
      *same = variable;
    else
      result.push_back(variable);
  }
  return result;
}

}  // namespace coldstart
