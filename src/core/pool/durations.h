// SPDX-License-Identifier: Apache-2.0
#pragma once
// How long something takes: a constant, a distribution, or what was measured.

#include <random>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace coldstart {

using Random = std::mt19937_64;

/// A random duration in seconds, never negative. A plain value; sample() is thread-safe, `random` is not.
class Durations {
 public:
  /// "10" (always), "exp:MEAN", "uniform:LOW:HIGH", "lognormal:MEDIAN:SIGMA", or "@FILE[:NAME]": drawn from
  /// the runs in a bench's JSON, of the result NAME or of all. Throws Error::usage for a word that is none,
  /// and what reading the file throws.
  static Durations parse(std::string_view text);
  static Durations constant(double seconds) { return Durations(Constant{seconds}); }

  double sample(Random& random) const;
  double mean() const;

 private:
  struct Constant {
    double seconds;
  };
  struct Exponential {
    double mean;
  };
  struct Uniform {
    double low, high;
  };
  struct LogNormal {
    double median, sigma;
  };
  struct Measured {
    std::vector<double> seconds;
  };
  using Kind = std::variant<Constant, Exponential, Uniform, LogNormal, Measured>;

  explicit Durations(Kind kind) : kind_(std::move(kind)) {}
  static Durations from_bench(const std::string& file, const std::string& name);

  Kind kind_;
};

}  // namespace coldstart
