// OpenBoards: the boards a user names, as one Measurer: certificates found, connections made, candidates rendered here.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "measure/building_measurer.h"
#include "rpc/client/board_pool.h"
#include "rpc/client/grpc_link.h"
#include "space/template_library.h"

namespace lathe {

struct RemoteOptions {
  std::string boards;               // "HOST:PORT,HOST:PORT"
  std::string certs;                // directory with ca.pem, client.pem, client.key; empty: DefaultCertificates(), where it is there
  PoolOptions pool;                 // `render` is set here
  HostBuild* host_build = nullptr;  // builds candidates here, for boards without a compiler; outlives the measurer
};

// `library` outlives the measurer. Fails on a malformed address, when certificates are missing, or when no board came within the wait.
Result<std::unique_ptr<BoardPool>> OpenBoards(const TemplateLibrary& library, RemoteOptions options,
                                              const std::atomic<bool>* stop = nullptr);

// For any address but loopback; none for loopback unless `directory` is named.
Result<std::optional<ClientCertificates>> CertificatesFor(const std::string& endpoint, const std::string& directory);
// $XDG_CONFIG_HOME/lathe/certs or ~/.config/lathe/certs; empty when there is no home.
std::string DefaultCertificates();

// Candidates with their references, each rendered once.
std::function<Result<std::shared_ptr<const CandidateText>>(const Candidate&, const Target&)> RenderingFrom(const TemplateLibrary& library);

}  // namespace lathe
