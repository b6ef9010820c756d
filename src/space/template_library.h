// TemplateLibrary: every operator folder under a directory, read once at start. A new operator or template is a folder or a pair of files.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "space/kernel_template.h"
#include "space/operator.h"

namespace lathe {

class TemplateLibrary {
 public:
  // Reads DIR/*/operator.json and the template manifests beside each. Fails on the first manifest that is wrong.
  static Result<TemplateLibrary> Load(const std::filesystem::path& dir);
  // Likewise, but an operator of which a manifest is wrong is left out as a whole: whoever asks for it by name gets that error.
  static Result<TemplateLibrary> LoadSound(const std::filesystem::path& dir);
  // Where templates are looked for: $LATHE_TEMPLATES, then beside the program (../share/lathe/templates), then the source tree it was built
  // from.
  static std::filesystem::path DefaultDir();

  const std::filesystem::path& dir() const { return dir_; }
  std::vector<const Operator*> operators() const;
  const std::map<std::string, Error>& left_out() const { return left_out_; }  // by the name of the operator, which its folder bears
  // An error lists the names there are.
  Result<const Operator*> FindOperator(const std::string& name) const;
  // "direct_cpu" where unique, "conv2d/direct_cpu" always.
  Result<const KernelTemplate*> FindTemplate(const std::string& name) const;
  std::vector<const KernelTemplate*> TemplatesOf(const std::string& operator_name) const;
  std::string Prelude(const std::string& file) const;  // text of DIR/prelude/FILE; empty when absent

 private:
  TemplateLibrary() = default;
  static Result<std::vector<std::filesystem::path>> OperatorFolders(const std::filesystem::path& dir);
  Status Take(const std::filesystem::path& folder);

  std::filesystem::path dir_;
  std::map<std::string, Error> left_out_;
  // Addresses stay valid while the library lives.
  std::vector<std::unique_ptr<Operator>> operators_;
  std::vector<std::unique_ptr<KernelTemplate>> templates_;
};

}  // namespace lathe
