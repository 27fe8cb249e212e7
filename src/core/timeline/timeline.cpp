// SPDX-License-Identifier: Apache-2.0
#include "core/timeline/timeline.h"

#include <utility>

#include <unistd.h>

namespace coldstart {

namespace {
double seconds_between(Timeline::Clock::time_point a, Timeline::Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}
}  // namespace

Timeline::Span::Span(Timeline& timeline, std::string name)
    : timeline_(&timeline), name_(std::move(name)), start_(Clock::now()) {}

Timeline::Span::Span(Span&& other) noexcept
    : timeline_(std::exchange(other.timeline_, nullptr)),
      name_(std::move(other.name_)),
      start_(other.start_),
      seconds_(other.seconds_),
      args_(std::move(other.args_)) {}

Timeline::Span::~Span() {
  end();
}

double Timeline::Span::end() {
  if (Timeline* timeline = std::exchange(timeline_, nullptr)) {
    seconds_ = seconds_between(start_, Clock::now());
    timeline->add(std::move(name_), start_, seconds_, std::move(args_));
  }
  return seconds_;
}

void Timeline::add(std::string name, Clock::time_point start, double seconds, Json args) {
  const std::lock_guard lock(mutex_);
  records_.push_back(
      {std::move(name), seconds_between(origin_, start), seconds, ::gettid(), std::move(args)});
}

std::vector<Timeline::Record> Timeline::records() const {
  const std::lock_guard lock(mutex_);
  return records_;
}

Json Timeline::chrome_trace() const {
  Json events = Json::array();
  for (const Record& r : records()) {
    Json event = {{"name", r.name},         {"ph", "X"},         {"ts", r.start * 1e6},
                  {"dur", r.seconds * 1e6}, {"pid", ::getpid()}, {"tid", r.thread}};
    if (!r.args.is_null()) event["args"] = r.args;
    events.push_back(std::move(event));
  }
  return {{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}};
}

}  // namespace coldstart
