#include "core/file.h"

#include <gtest/gtest.h>

namespace lathe {
namespace {

TEST(File, WritesWholeAndReadsBack) {
  Result<TempDir> dir = TempDir::Create("test");
  ASSERT_TRUE(dir);
  ASSERT_TRUE(WriteFile(dir->path() / "a", "one"));
  ASSERT_TRUE(WriteFile(dir->path() / "a", "two"));
  EXPECT_EQ(*ReadFile(dir->path() / "a"), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir->path()), {}), 1) << "no temporary is left";
}

TEST(File, NamesTheFileThatIsMissing) {
  Result<std::string> content = ReadFile("/nonexistent/file");
  ASSERT_FALSE(content);
  EXPECT_EQ(content.error().code, ErrorCode::kNotFound);
  EXPECT_NE(content.error().message.find("/nonexistent/file"), std::string::npos);
}

TEST(TempDir, IsGoneAfterwards) {
  std::filesystem::path path;
  {
    Result<TempDir> dir = TempDir::Create("test");
    ASSERT_TRUE(dir);
    path = dir->path();
    ASSERT_TRUE(WriteFile(path / "a", "x"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace lathe
