#include "measure/artifact_cache.h"

#include <gtest/gtest.h>

#include <fstream>
#include <thread>
#include <vector>

#include "core/file.h"

namespace lathe {
namespace {
namespace fs = std::filesystem;

class ArtifactCacheTest : public testing::Test {
 protected:
  ArtifactCacheTest() : dir_(std::move(*TempDir::Create("cache-test"))) {}
  fs::path NewFile(const std::string& content) {
    const fs::path file = dir_.path() / ("file" + std::to_string(next_++));
    std::ofstream(file) << content;
    return file;
  }
  ArtifactCache Open(uint64_t max_bytes = 0) { return std::move(*ArtifactCache::Open(dir_.path() / "cache", max_bytes)); }

  TempDir dir_;
  int next_ = 0;
};

TEST_F(ArtifactCacheTest, GivesBackWhatWasAddedAlsoAfterReopening) {
  {
    ArtifactCache cache = Open();
    EXPECT_FALSE(cache.Find("key"));
    ASSERT_TRUE(cache.Add("key", NewFile("content"), {{"code_bytes", 12}}));
  }
  ArtifactCache cache = Open();
  const auto found = cache.Find("key");
  ASSERT_TRUE(found);
  EXPECT_EQ(*ReadFile(found->path), "content");
  EXPECT_EQ(found->facts.at("code_bytes"), 12);
}

TEST_F(ArtifactCacheTest, DropsWhatWasNotUsedForLongestWhenItOutgrowsItsBound) {
  ArtifactCache cache = Open(1000);
  const std::string content(300, 'x');
  const auto age = [&](const char* key, int hours) {
    fs::last_write_time(dir_.path() / "cache" / (std::string(key) + ".so"), fs::file_time_type::clock::now() - std::chrono::hours(hours));
  };
  for (const char* key : {"a", "b", "c"}) ASSERT_TRUE(cache.Add(key, NewFile(content), {}));
  age("a", 3);
  age("b", 2);
  age("c", 1);
  ASSERT_TRUE(cache.Find("a")) << "used just now";
  ASSERT_TRUE(cache.Add("d", NewFile(content), {}));
  EXPECT_FALSE(cache.Find("b"));
  EXPECT_FALSE(cache.Find("c")) << "down to four fifths of the bound";
  EXPECT_TRUE(cache.Find("a"));
  EXPECT_TRUE(cache.Find("d"));
}

TEST_F(ArtifactCacheTest, ManyThreadsMayAddTheSameKey) {
  ArtifactCache cache = Open();
  std::vector<fs::path> files;
  for (int i = 0; i < 8; ++i) files.push_back(NewFile(std::string(10000, 'y')));
  std::vector<std::thread> threads;
  for (const fs::path& file : files)
    threads.emplace_back([&cache, file] {
      for (int look = 0; look < 50; ++look)
        if (const auto found = cache.Find("key")) {
          EXPECT_EQ(ReadFile(found->path)->size(), 10000U) << "never half a file";
        }
      EXPECT_TRUE(cache.Add("key", file, {}));
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(cache.Find("key"));
  for (const auto& entry : fs::directory_iterator(dir_.path() / "cache"))
    EXPECT_TRUE(entry.path().extension() == ".so" || entry.path().extension() == ".facts") << entry.path();
}

TEST_F(ArtifactCacheTest, AnUnwritableDirectoryIsAnError) {
  const Result<ArtifactCache> cache = ArtifactCache::Open("/proc/nowhere", 0);
  ASSERT_FALSE(cache);
  EXPECT_NE(cache.error().message.find("/proc/nowhere"), std::string::npos);
}

}  // namespace
}  // namespace lathe
