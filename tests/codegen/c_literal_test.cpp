#include "codegen/c_literal.h"

#include <gtest/gtest.h>

namespace lathe {
namespace {

TEST(CLiteral, QuotesWhatWouldEndOrContinueTheLiteral) { EXPECT_EQ(CLiteral("say \"no\\yes\""), R"("say \"no\\yes\"")"); }

TEST(CLiteral, WritesControlCharactersSoThatADigitBehindThemStaysADigit) {
  EXPECT_EQ(CLiteral(std::string("a\n1\0002", 5)), R"("a\0121\0002")");
}

TEST(CLiteral, LeavesBytesBeyondAsciiAsTheyAre) { EXPECT_EQ(CLiteral("\xc3\xa9\xff"), "\"\xc3\xa9\xff\""); }

TEST(CLiteral, KeepsTrigraphsApart) {
  EXPECT_EQ(CLiteral("what?"
                     "?/"),
            "\"what\\?\\?/\"");
}

}  // namespace
}  // namespace lathe
