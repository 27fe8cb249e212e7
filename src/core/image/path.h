// SPDX-License-Identifier: Apache-2.0
#pragma once
// Paths in a tree: bytes, relative to its root, that can neither leave it nor lie to a terminal.

#include <string>
#include <string_view>

namespace coldstart {

/// "./a//b/" and "/a/b" are "a/b", "." and "/" are "": what a tar names stays below the root. Throws
/// Error::corrupt for "..", for NUL, for names that are too long and for nesting that is too deep.
std::string inner_path(std::string_view path);

/// For messages: bytes that are no printable ASCII or UTF-8 as \xNN; the root as "/"; shortened if long.
std::string shown(std::string_view path);

/// "a/b/c" gives "a/b" and "c"; "c" gives "" and "c".
std::string_view parent_of(std::string_view path);
std::string_view name_of(std::string_view path);

}  // namespace coldstart
