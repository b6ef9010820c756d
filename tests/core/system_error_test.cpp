#include "core/system_error.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace lathe {
namespace {

TEST(SystemError, TellsWhatIsMissingFromAFullDiskAndFromTheRest) {
  EXPECT_EQ(CodeOfErrno(ENOENT), ErrorCode::kNotFound);
  for (const int full : {ENOSPC, EDQUOT}) EXPECT_EQ(CodeOfErrno(full), ErrorCode::kResourceExhausted);
  for (const int other : {EACCES, EISDIR, EIO, 0}) EXPECT_EQ(CodeOfErrno(other), ErrorCode::kUnavailable);
}

TEST(SystemError, NamesTheFileAndWhatWasDoneToIt) {
  const Error error = FileError("read", "a/b", EACCES);
  EXPECT_EQ(error.message, "read 'a/b': Permission denied");
  EXPECT_EQ(FileError("read", "a/b", 0).message, "read 'a/b': Input/output error") << "a stream that failed without a number";
}

}  // namespace
}  // namespace lathe
