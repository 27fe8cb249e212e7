// SPDX-License-Identifier: Apache-2.0
#pragma once
// How many idle slots a pool needs: what the service keeps and what the simulator plays.
//
// A claimed slot is replaced by one that takes a while to make. A claim misses when all slots are claimed and
// not yet replaced. With independent (Poisson) claims this is a telephone exchange with as many lines as
// there are slots: a line is busy while its slot is made anew, and a miss is a call that finds all lines
// busy. Erlang's formula B gives how often that is, and it holds whatever the distribution of the time to
// make one. It needs one number, the load: claims that come in the time that making a slot takes.
//
// Claims that come in bursts miss more often. Their peakedness (variance of the counts in such times over
// their mean; 1 for Poisson) enters by Hayward's approximation: n lines under the load a of peakedness z miss
// as n/z lines under a/z do.

#include <cstddef>

namespace coldstart {

/// Erlang's formula B: the part of calls lost by `lines` lines (in between whole numbers interpolated) under
/// the load `erlangs`.
double erlang_b(double lines, double erlangs);

/// Claims in the time that a slot takes to be made.
struct Load {
  double mean = 0;
  double peakedness = 1;  ///< at least 1
};

/// The fewest idle slots with which at least `target_hit_rate` (below 1) of all claims find one; at most
/// `most`.
size_t slots_for(const Load& load, double target_hit_rate, size_t most);

/// Forecasts the load from the claims so far: counts them in windows as long as a slot takes to be made, and
/// averages these with exponentially falling weights, over a short and a long memory; the higher counts, so
/// that it grows at once and shrinks slowly. Times are seconds on any clock that does not go back.
class LoadForecast {
 public:
  explicit LoadForecast(double seconds_to_make_a_slot);
  void claimed(double now);
  Load at(double now);
  /// Slots turned out to take that long now.
  void set_window(double seconds);

 private:
  void advance(double now);
  void close_window(double count);

  double window_;
  double begin_ = 0;  // of the running window
  bool begun_ = false;
  double count_ = 0;  // in it
  double fast_ = 0, slow_ = 0, variance_ = 0;
  double windows_ = 0;  // how many were averaged, up to the memory
};

}  // namespace coldstart
