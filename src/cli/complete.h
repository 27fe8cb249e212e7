// SPDX-License-Identifier: Apache-2.0
#pragma once
// What may come next in a command line that is being typed. The shells' completions ask the tool itself, by
// `coldstart __complete WORD...`, so that they always fit it.

#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace coldstart {

/// What a word names.
enum class NameKind { image, snapshot, replica };

/// Gives the names of a kind that are in the store (--store of the line, or empty).
using Names = std::function<std::vector<std::string>(NameKind, const std::string& store)>;

struct Suggestion {
  std::string word;
  std::string description;  ///< may be empty
};

struct Completion {
  enum class Paths { none, files, folders };
  std::vector<Suggestion> words;  ///< all begin with the word being typed
  Paths paths = Paths::none;      ///< the shell is to add these
};

/// `words` are those after "coldstart"; the last one is being typed and may be empty.
Completion complete(const CLI::App& app, const std::vector<std::string>& words, const Names& names);

/// As the shells' scripts read it: "WORD<tab>DESCRIPTION" a line, then ":files" or ":folders".
std::string to_text(const Completion& completion);

}  // namespace coldstart
