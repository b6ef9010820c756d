#include "rpc/security/certificates.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <memory>

#include "core/file.h"
#include "measure/descriptor.h"

namespace lathe {
namespace fs = std::filesystem;
namespace {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_free>>;

Error OpenSslFailed(const std::string& doing) {
  char text[256] = "unknown reason";
  if (const unsigned long code = ::ERR_get_error(); code != 0) ::ERR_error_string_n(code, text, sizeof text);
  ::ERR_clear_error();
  return {ErrorCode::kUnavailable, fmt::format("{}: {}", doing, text)};
}

Status CheckName(const std::string& name) {
  const bool fine = !name.empty() && name.size() <= 64 && name[0] != '.' && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_' || c == '.';
  });
  if (fine) return {};
  return Error{ErrorCode::kInvalidInput, fmt::format("'{}' is no name for a certificate: use letters, digits, - _ and .", name)};
}

std::string Text(BIO* memory) {
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(memory, &data);
  return {data, static_cast<size_t>(std::max(0L, bytes))};
}

Result<std::string> Pem(EVP_PKEY* key) {
  const Memory memory(::BIO_new(::BIO_s_mem()));
  if (!memory || ::PEM_write_bio_PKCS8PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return OpenSslFailed("write a key");
  return Text(memory.get());
}

Result<std::string> Pem(X509* certificate) {
  const Memory memory(::BIO_new(::BIO_s_mem()));
  if (!memory || ::PEM_write_bio_X509(memory.get(), certificate) != 1) return OpenSslFailed("write a certificate");
  return Text(memory.get());
}

// Readable by nobody else from its first moment.
Status WriteSecret(const fs::path& path, const std::string& text) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.get() < 0 || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return Error{ErrorCode::kUnavailable, fmt::format("write '{}': {}", path.string(), std::strerror(errno))};
  return {};
}

Status AddExtension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  ::X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>> extension(
      ::X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  if (!extension || ::X509_add_ext(certificate, extension.get(), -1) != 1) return OpenSslFailed("add to a certificate: " + value);
  return {};
}

struct Signer {
  Key key;
  Certificate certificate;
};

Result<Certificate> Sign(EVP_PKEY* key, const std::string& name, const Signer* signer, EVP_PKEY* signing_key,
                         const std::vector<std::pair<int, std::string>>& extensions, const CertificateOptions& options) {
  Certificate certificate(::X509_new());
  unsigned char serial[16];
  if (!certificate || ::RAND_bytes(serial, sizeof serial) != 1) return OpenSslFailed("make a certificate");
  serial[0] = static_cast<unsigned char>((serial[0] & 0x7F) | 1);  // positive, and of full length
  const std::unique_ptr<BIGNUM, Freed<BN_free>> number(::BN_bin2bn(serial, sizeof serial, nullptr));
  X509_NAME* subject = ::X509_get_subject_name(certificate.get());
  const bool filled =
      number && ::BN_to_ASN1_INTEGER(number.get(), ::X509_get_serialNumber(certificate.get())) != nullptr &&
      ::X509_set_version(certificate.get(), 2) == 1 &&
      ::X509_gmtime_adj(::X509_getm_notBefore(certificate.get()), static_cast<long>(options.starts_in_seconds)) != nullptr &&
      ::X509_gmtime_adj(::X509_getm_notAfter(certificate.get()), static_cast<long>(options.starts_in_seconds) + 86'400L * options.days) !=
          nullptr &&
      ::X509_set_pubkey(certificate.get(), key) == 1 &&
      ::X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0) == 1 &&
      ::X509_set_issuer_name(certificate.get(), signer ? ::X509_get_subject_name(signer->certificate.get()) : subject) == 1;
  if (!filled) return OpenSslFailed("fill in a certificate");
  X509* issuer = signer ? signer->certificate.get() : certificate.get();
  for (const auto& [kind, value] : extensions)
    if (Status added = AddExtension(certificate.get(), issuer, kind, value); !added) return added.error();
  if (::X509_sign(certificate.get(), signing_key, ::EVP_sha256()) == 0) return OpenSslFailed("sign a certificate");
  return certificate;
}

Result<Signer> ReadAuthority(const fs::path& directory) {
  Result<std::string> key = ReadFile(directory / "ca.key"), certificate = ReadFile(directory / "ca.pem");
  for (const auto* file : {&key, &certificate})
    if (!*file) return file->error().In("use the authority (make one with `lathe certs init`)");
  Signer signer;
  const Memory key_memory(::BIO_new_mem_buf(key->data(), static_cast<int>(key->size())));
  signer.key.reset(::PEM_read_bio_PrivateKey(key_memory.get(), nullptr, nullptr, nullptr));
  const Memory certificate_memory(::BIO_new_mem_buf(certificate->data(), static_cast<int>(certificate->size())));
  signer.certificate.reset(::PEM_read_bio_X509(certificate_memory.get(), nullptr, nullptr, nullptr));
  if (!signer.key || !signer.certificate) return OpenSslFailed(fmt::format("read the authority in '{}'", directory.string()));
  return signer;
}

Status MakeDirectory(const fs::path& directory) {
  std::error_code failure;
  fs::create_directories(directory, failure);
  if (failure) return Error{ErrorCode::kUnavailable, fmt::format("create '{}': {}", directory.string(), failure.message())};
  ::chmod(directory.c_str(), 0700);
  return {};
}

// "DNS:jetson.local,IP:10.0.0.5"
Result<std::string> AlternativeNames(const std::vector<std::string>& addresses) {
  std::string text;
  for (const std::string& address : addresses) {
    unsigned char bytes[16];
    const bool number = ::inet_pton(AF_INET, address.c_str(), bytes) == 1 || ::inet_pton(AF_INET6, address.c_str(), bytes) == 1;
    if (!number)
      if (Status fine = CheckName(address); !fine) return fine.error().In("address of a board");
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", number ? "IP" : "DNS", address);
  }
  return text;
}

Result<fs::path> Issue(const fs::path& directory, const char* group, const char* kind, const std::string& name,
                       const std::vector<std::pair<int, std::string>>& extensions, const CertificateOptions& options) {
  if (Status fine = CheckName(name); !fine) return fine.error();
  Result<Signer> signer = ReadAuthority(directory);
  if (!signer) return signer.error();
  const fs::path folder = directory / group / name;
  std::error_code ignored;
  if (fs::exists(folder, ignored))
    return Error{ErrorCode::kInvalidInput, fmt::format("'{}' is there already; remove it, or choose another name", folder.string())};
  const Key key(EVP_EC_gen("P-256"));
  if (!key) return OpenSslFailed("make a key");
  Result<Certificate> certificate = Sign(key.get(), name, &*signer, signer->key.get(), extensions, options);
  if (!certificate) return certificate.error();
  Result<std::string> key_text = Pem(key.get()), certificate_text = Pem(certificate->get()), authority = Pem(signer->certificate.get());
  for (const auto* text : {&key_text, &certificate_text, &authority})
    if (!*text) return text->error();
  if (Status made = MakeDirectory(folder); !made) return made.error();
  Status written = WriteSecret(folder / fmt::format("{}.key", kind), *key_text);
  if (written) written = WriteFile(folder / fmt::format("{}.pem", kind), *certificate_text);
  if (written) written = WriteFile(folder / "ca.pem", *authority);
  if (!written) return written.error();
  return folder;
}

}  // namespace

Status MakeAuthority(const fs::path& directory, const CertificateOptions& options) {
  if (Status made = MakeDirectory(directory); !made) return made.error();
  std::error_code ignored;
  if (fs::exists(directory / "ca.key", ignored))
    return Error{ErrorCode::kInvalidInput, fmt::format("'{}' holds an authority already", directory.string())};
  const Key key(EVP_EC_gen("P-256"));
  if (!key) return OpenSslFailed("make a key");
  CertificateOptions longer = options;
  longer.days = std::max(options.days, 3650);
  Result<Certificate> certificate = Sign(key.get(), "lathe authority", nullptr, key.get(),
                                         {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                                          {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                          {NID_subject_key_identifier, "hash"}},
                                         longer);
  if (!certificate) return certificate.error();
  Result<std::string> key_text = Pem(key.get()), certificate_text = Pem(certificate->get());
  for (const auto* text : {&key_text, &certificate_text})
    if (!*text) return text->error();
  if (Status written = WriteSecret(directory / "ca.key", *key_text); !written) return written.error();
  return WriteFile(directory / "ca.pem", *certificate_text);
}

Result<fs::path> IssueBoard(const fs::path& directory, const std::string& name, const std::vector<std::string>& addresses,
                            const CertificateOptions& options) {
  if (addresses.empty())
    return Error{ErrorCode::kInvalidInput, "a board's certificate names the addresses by which clients reach it: give one"};
  Result<std::string> names = AlternativeNames(addresses);
  if (!names) return names.error();
  return Issue(directory, "boards", "board", name,
               {{NID_basic_constraints, "critical,CA:FALSE"},
                {NID_key_usage, "critical,digitalSignature"},
                {NID_ext_key_usage, "serverAuth"},
                {NID_subject_alt_name, *names}},
               options);
}

Result<fs::path> IssueClient(const fs::path& directory, const std::string& name, const CertificateOptions& options) {
  return Issue(
      directory, "clients", "client", name,
      {{NID_basic_constraints, "critical,CA:FALSE"}, {NID_key_usage, "critical,digitalSignature"}, {NID_ext_key_usage, "clientAuth"}},
      options);
}

}  // namespace lathe
