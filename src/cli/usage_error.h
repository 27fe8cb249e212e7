// SPDX-License-Identifier: Apache-2.0
#pragma once
// A command line that cannot be understood, told so that the next try is right.

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "core/base/error.h"

namespace coldstart {

/// What the parser found wrong, in our words, with the nearest name that exists as hint. Exit status 2.
Error usage_error(const CLI::App& app, const CLI::ParseError& found);

/// The candidate that `word` is most likely a misspelling or the beginning of; empty if none is near.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace coldstart
