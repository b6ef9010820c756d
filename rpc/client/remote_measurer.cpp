#include "rpc/client/remote_measurer.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "core/file.h"
#include "measure/toolchain_profile.h"
#include "rpc/endpoint.h"

namespace lathe {

std::string DefaultCertificates() {
  if (const char* config = std::getenv("XDG_CONFIG_HOME"); config != nullptr && *config != 0) return std::string(config) + "/lathe/certs";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != 0) return std::string(home) + "/.config/lathe/certs";
  return {};
}

Result<std::optional<ClientCertificates>> CertificatesFor(const std::string& endpoint, const std::string& directory) {
  if (directory.empty() && IsLoopback(endpoint)) return std::optional<ClientCertificates>();
  const std::string from = directory.empty() ? DefaultCertificates() : directory;
  ClientCertificates certificates;
  for (const auto& [name, text] : {std::pair<const char*, std::string*>{"ca.pem", &certificates.authority},
                                   {"client.pem", &certificates.certificate},
                                   {"client.key", &certificates.key}}) {
    Result<std::string> read = ReadFile(std::filesystem::path(from) / name);
    if (!read)
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("reach board '{}': any address but loopback needs certificates, which `lathe certs` makes: {}", endpoint,
                               read.error().message)};
    *text = std::move(*read);
  }
  return std::optional<ClientCertificates>(std::move(certificates));
}

std::function<Result<std::shared_ptr<const CandidateText>>(const Candidate&, const Target&)> RenderingFrom(const TemplateLibrary& library) {
  auto references = std::make_shared<std::map<std::string, std::shared_ptr<const ReferenceText>>>();
  return [&library, references](const Candidate& candidate, const Target& target) -> Result<std::shared_ptr<const CandidateText>> {
    Result<CandidateText> text = RenderCandidate(library, candidate, target);
    if (!text) return text.error();
    std::shared_ptr<const ReferenceText>& reference = (*references)[candidate.workload.Key()];
    if (reference == nullptr) {
      Result<ReferenceText> rendered = RenderReference(library, candidate.workload);
      if (!rendered) return rendered.error();
      reference = std::make_shared<const ReferenceText>(std::move(*rendered));
    }
    text->reference = reference;
    return std::shared_ptr<const CandidateText>(std::make_shared<CandidateText>(std::move(*text)));
  };
}

namespace {

// What the pool itself wants to have measured: the calibration kernel that tells a board's speed.
std::function<Result<std::shared_ptr<const CandidateText>>(const Candidate&, const Target&)> BuildingWith(HostBuild& build) {
  return [&build](const Candidate& candidate, const Target& target) -> Result<std::shared_ptr<const CandidateText>> {
    HostBuild::Made made = build.Make(candidate, target);
    if (made.status != MeasureStatus::kOk) return Error{ErrorCode::kInvalidInput, std::move(made.message)};
    return made.text;
  };
}

}  // namespace

Result<std::unique_ptr<BoardPool>> OpenBoards(const TemplateLibrary& library, RemoteOptions options, const std::atomic<bool>* stop) {
  Result<std::vector<std::string>> endpoints = ParseEndpoints(options.boards);
  if (!endpoints) return endpoints.error();
  std::vector<std::unique_ptr<BoardLink>> links;
  for (const std::string& endpoint : *endpoints) {
    Result<std::optional<ClientCertificates>> certificates = CertificatesFor(endpoint, options.certs);
    if (!certificates) return certificates.error();
    LinkOptions link;
    link.endpoint = endpoint;
    link.certificates = std::move(*certificates);
    Result<std::unique_ptr<BoardLink>> made = MakeGrpcLink(std::move(link));
    if (!made) return made.error();
    links.push_back(std::move(*made));
  }
  options.pool.session.prebuilt = options.host_build != nullptr;
  if (options.host_build != nullptr)
    options.pool.accepts = [build = options.host_build](const Target& target) { return CheckRunsOn(build->toolchain(), target); };
  options.pool.render = options.host_build != nullptr ? BuildingWith(*options.host_build) : RenderingFrom(library);
  return BoardPool::Create(std::move(links), std::move(options.pool), stop);
}

}  // namespace lathe
