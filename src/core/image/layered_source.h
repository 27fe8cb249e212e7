// SPDX-License-Identifier: Apache-2.0
#pragma once
// The layers of an OCI image as one source: each is a tar, plain or compressed, laid over those before it.
//
// What a layer takes away it says by names, as aufs once did: "a/.wh.b" removes a/b of the layers below,
// "a/.wh..wh..opq" all that they have in a. Other names that begin with ".wh..wh." are aufs's own and left
// out.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/image/source.h"
#include "core/store/digest.h"

namespace coldstart {

struct ImageLayer {
  std::string shown_as;  ///< "the layer sha256:…"
  uint64_t bytes = 0;    ///< as it is stored
  /// Its bytes from the beginning, as they are stored; what it holds open closes with it.
  std::function<ByteInput()> open;
  std::optional<Digest> stored;   ///< of these bytes
  std::optional<Digest> content;  ///< of the tar in them; if `stored` is right, another one is only warned of
};

/// `layers`: lowest first. Each layer is read to its end and checked against the digests that it has.
std::unique_ptr<TreeSource> make_layered_source(std::string shown_as, std::vector<ImageLayer> layers,
                                                ImageConfig config);

}  // namespace coldstart
