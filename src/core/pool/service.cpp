// SPDX-License-Identifier: Apache-2.0
#include "core/pool/service.h"

#include <chrono>

#include <fmt/format.h>

#include "core/base/available_memory.h"
#include "core/base/many_descriptors.h"
#include "core/pool/api.h"
#include "core/pool/background.h"
#include "core/pool/http_server.h"
#include "core/pool/listener.h"

namespace coldstart {

namespace {

using Kind = PoolWorld::Work;

constexpr std::chrono::milliseconds between_steps(100);

double monotonic() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Service {
 public:
  Service(PoolServiceOptions& options, CancelToken& cancel)
      : options_(options),
        cancel_(cancel),
        journal_(options.folder / "leases"),
        pool_(options.pool, world(), journal_, cancel),
        background_({{static_cast<int>(Kind::make), static_cast<unsigned>(options.pool.at_once)},
                     {static_cast<int>(Kind::check), 2},
                     {static_cast<int>(Kind::claim), 4},
                     {static_cast<int>(Kind::end), 2}}),
        server_(options.sockets, options.users, [this](const HttpCall& call) { answer(call); }) {}

  void run() {
    pool_.adopt();
    server_.every(between_steps, [this] { step(); });
    server_.when_readable(background_.fd(), [this] {
      background_.collect();
      step();
    });
    server_.when_readable(cancel_.fd(), [this] { server_.leave(); });
    pool_.step();
    options_.on_ready();
    server_.loop();
    wind_down();
  }

 private:
  PoolWorld world() {
    return {[this](Kind kind, auto work, auto done) {
              background_.run(static_cast<int>(kind), std::move(work), std::move(done));
            },
            monotonic, [] { return available_memory(); }, options_.make, options_.find};
  }

  void step() {
    pool_.step();
    if (draining_ && pool_.empty()) server_.leave();
  }

  /// Until only claimed replicas are left. What is being made is cancelled, or told to be.
  void wind_down() {
    notify_systemd("STOPPING=1");
    cancel_.cancel();
    pool_.drain();
    const auto busy = [this] {
      const PoolStatus s = pool_.status();
      return s.idle + s.warming + s.checking + s.ending > 0;
    };
    server_.stop_listening();
    server_.ignore(cancel_.fd());
    server_.when_readable(background_.fd(), [&] {
      background_.collect();
      if (!busy()) server_.leave();
    });
    if (busy()) server_.loop();
  }

  void answer(const HttpCall& call);
  void claim(const HttpCall& call);
  HttpReply act(const HttpCall& call);

  PoolServiceOptions& options_;
  CancelToken& cancel_;
  Journal journal_;
  Pool pool_;
  Background background_;  // before the pool is destroyed, nothing works for it any more
  HttpServer server_;
  bool draining_ = false;
};

void Service::claim(const HttpCall& call) {
  const ApiClaim asked = parse_claim(call.body);
  const std::shared_ptr<HttpAnswer> later = call.later();
  ClaimRequest request = asked.request;
  // Should we be killed, the connection is gone with us; the process at its other end is not.
  if (asked.with_connection) request.holder = call.peer_pid;
  const uint64_t ticket = pool_.claim(request, [this, later, asked](const ClaimAnswer& answer) {
    if (asked.with_connection && !answer.error)
      later->when_gone([this, ticket = answer.ticket] { pool_.holder_gone(ticket); });
    else
      later->when_gone({});
    later->reply(to_reply(answer), asked.with_connection);
  });
  if (!later->replied()) later->when_gone([this, ticket] { pool_.withdraw(ticket); });
}

HttpReply Service::act(const HttpCall& call) {
  const std::string what = call.method + " " + call.path;
  if (what == "GET /v1/status") {
    OrderedJson json = {{"name", options_.name}};
    json.update(to_json(pool_.status()));
    return json_reply(json);
  }
  if (what == "GET /metrics") return metrics(pool_.status());
  if (what == "GET /healthz") return {200, "ok\n", "text/plain"};
  if (what == "POST /v1/release") {
    const ApiRelease release = parse_release(call.body);
    pool_.release(release.id, release.end);
  } else if (what == "POST /v1/drain") {
    draining_ = true;
    pool_.drain();
  } else if (what == "POST /v1/stop") {
    if (parse_stop(call.body)) pool_.end_all();
    draining_ = true;
    cancel_.cancel();
  } else {
    for (const char* known :
         {"/v1/claim", "/v1/release", "/v1/drain", "/v1/stop", "/v1/status", "/metrics", "/healthz"})
      if (call.path == known) return {405, R"({"error": {"code": 2, "message": "method not allowed"}})"};
    throw Error::not_found("there is no " + call.path);
  }
  return json_reply(OrderedJson::object());
}

void Service::answer(const HttpCall& call) {
  const std::shared_ptr<HttpAnswer> later = call.later();
  try {
    if (call.method == "POST" && call.path == "/v1/claim")
      claim(call);
    else
      later->reply(act(call), false);
  } catch (const Error& e) {
    later->reply(to_reply(e), false);
  } catch (const std::exception& e) {
    later->reply(to_reply(Error(e.what())), false);
  }
}

}  // namespace

void run_pool_service(PoolServiceOptions options, CancelToken& cancel) {
  expect_many_descriptors();  // a claim costs some, and so does a slot
  Service(options, cancel).run();
}

}  // namespace coldstart
