// SPDX-License-Identifier: Apache-2.0
#include "core/store/digest.h"

#include <openssl/evp.h>

#include "core/base/error.h"

namespace coldstart {

namespace {

void expect(int result) {
  if (result != 1) throw Error("libcrypto cannot compute a SHA-256");
}

/// Fetched once: the implicit fetch of EVP_sha256() costs more than hashing a small chunk.
const EVP_MD* sha256() {
#ifdef COLDSTART_OWN_LIBCRYPTO  // else it is libcurl's as well, which needs the configuration
  static const int without_configuration = OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
  expect(without_configuration);
#endif
  static EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  if (md == nullptr) throw Error("libcrypto has no SHA-256");
  return md;
}

EVP_MD_CTX* new_context() {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  if (context == nullptr) throw std::bad_alloc();
  return context;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

constexpr std::string_view prefix = "sha256:";

}  // namespace

Digest Digest::of(ByteSpan bytes) {
  struct Context {
    EVP_MD_CTX* raw = new_context();
    Context() = default;
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
    ~Context() { EVP_MD_CTX_free(raw); }
  };
  static thread_local const Context context;
  Digest digest;
  expect(EVP_DigestInit_ex2(context.raw, sha256(), nullptr));
  expect(EVP_DigestUpdate(context.raw, bytes.data(), bytes.size()));
  expect(EVP_DigestFinal_ex(context.raw, digest.raw.data(), nullptr));
  return digest;
}

std::optional<Digest> Digest::parse(std::string_view text) {
  if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
  Digest digest;
  if (text.size() != 2 * digest.raw.size()) return std::nullopt;
  for (size_t i = 0; i < digest.raw.size(); ++i) {
    const int high = hex_digit(text[2 * i]);
    const int low = hex_digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    digest.raw[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return digest;
}

std::string Digest::hex() const {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * raw.size());
  for (const uint8_t byte : raw) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::string Digest::text() const {
  return std::string(prefix) + hex();
}

Hasher::Hasher() : context_(new_context()) {
  expect(EVP_DigestInit_ex2(static_cast<EVP_MD_CTX*>(context_), sha256(), nullptr));
}

Hasher::~Hasher() {
  EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_));
}

void Hasher::update(ByteSpan bytes) {
  expect(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), bytes.data(), bytes.size()));
}

Digest Hasher::finish() {
  Digest digest;
  expect(EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), digest.raw.data(), nullptr));
  return digest;
}

}  // namespace coldstart
