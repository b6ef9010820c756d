// TemplateLibrary: every operator folder under a directory, read once at start. A new operator or template is a folder or a pair of files.
#pragma once

#include <filesystem>
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
  // Where templates are looked for: $LATHE_TEMPLATES, then beside the program (../share/lathe/templates), then the source tree it was built
  // from.
  static std::filesystem::path DefaultDir();

  const std::filesystem::path& dir() const { return dir_; }
  std::vector<const Operator*> operators() const;
  // An error lists the names there are.
  Result<const Operator*> FindOperator(const std::string& name) const;
  // "direct_cpu" where unique, "conv2d/direct_cpu" always.
  Result<const KernelTemplate*> FindTemplate(const std::string& name) const;
  std::vector<const KernelTemplate*> TemplatesOf(const std::string& operator_name) const;
  std::string Prelude(const std::string& file) const;  // text of DIR/prelude/FILE; empty when absent

 private:
  TemplateLibrary() = default;
  std::filesystem::path dir_;
  // Addresses stay valid while the library lives.
  std::vector<std::unique_ptr<Operator>> operators_;
  std::vector<std::unique_ptr<KernelTemplate>> templates_;
};

}  // namespace lathe
