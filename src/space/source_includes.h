// What a template's source takes from other files.
#pragma once

#include <filesystem>
#include <string>

#include "core/result.h"

namespace lathe {

// The source with its lines `#include "FILE"` replaced by FILE of the operator's folder or, where that has none, of the prelude: compilers
// on boards see one text. `name` is the source's, for messages.
Result<std::string> WithIncludes(const std::string& source, const std::string& name, const std::filesystem::path& folder,
                                 const std::filesystem::path& prelude_dir);

}  // namespace lathe
