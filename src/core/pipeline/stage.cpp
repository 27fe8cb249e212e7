// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/stage.h"

#include <numeric>

namespace coldstart {

OrderedJson to_json(const std::vector<StageTime>& stages) {
  OrderedJson list = OrderedJson::array();
  for (const StageTime& s : stages) {
    OrderedJson one = {{"name", s.name}, {"seconds", s.seconds}};
    if (s.bytes) one["bytes"] = *s.bytes;
    list.push_back(std::move(one));
  }
  return list;
}

void Chain::stage(const std::string& name, const std::function<void(StageTime&)>& run) {
  op_.cancel.check();
  StageTime time{name, 0, std::nullopt};
  Timeline::Span span = op_.timeline.span(name);
  run(time);
  if (time.bytes) span.arg("bytes", *time.bytes);
  time.seconds = span.end();
  times_.push_back(std::move(time));
}

void Chain::add(StageTime time, Timeline::Clock::time_point start) {
  op_.timeline.add(time.name, start, time.seconds, time.bytes ? Json{{"bytes", *time.bytes}} : Json());
  times_.push_back(std::move(time));
}

double Chain::seconds() const {
  return std::accumulate(times_.begin(), times_.end(), 0.0,
                         [](double sum, const StageTime& s) { return sum + s.seconds; });
}

}  // namespace coldstart
