// A private authority for a handful of boards and people: EC P-256 keys, certificates in PEM, through OpenSSL.
//
//     DIR/ca.pem  DIR/ca.key                           the authority; ca.key stays where it was made
//     DIR/boards/NAME/  ca.pem board.pem board.key     to be copied to the board: lathe-agent --certs
//     DIR/clients/NAME/ ca.pem client.pem client.key   for a person or a machine: lathe tune --certs
//
// A client is known by its common name, which the agent's configuration gives rights to; a board by the addresses in its certificate.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/result.h"

namespace lathe {

struct CertificateOptions {
  int days = 825;
  int64_t starts_in_seconds = -300;  // a board's clock may be a little behind
};

// Makes the directory and the authority. Fails where there is one already: what it signed would be worthless.
Status MakeAuthority(const std::filesystem::path& directory, const CertificateOptions& options = {});
// `addresses`: every name and number by which clients reach the board. Returns the folder made.
Result<std::filesystem::path> IssueBoard(const std::filesystem::path& directory, const std::string& name,
                                         const std::vector<std::string>& addresses, const CertificateOptions& options = {});
Result<std::filesystem::path> IssueClient(const std::filesystem::path& directory, const std::string& name,
                                          const CertificateOptions& options = {});

}  // namespace lathe
