// Faults that are planted, and what is said of each; and that their repaired forms are clean.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>

#include "test_machine.h"

namespace lathe::ptx {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Seen {
  int code = 0;
  std::string findings;
};

// A kernel on 64 threads: a: 64 numbers, b: room for 64, c: 128 bytes with numbers.
Seen See(const std::string& body, std::array<uint32_t, 3> threads = {64, 1, 1}) {
  TestMachine machine;
  const std::vector<uint32_t> numbers(64, 3), few(32, 4);
  const uint64_t a = machine.Put(numbers), b = machine.Room(256), c = machine.Put(few);
  Seen seen;
  seen.code = machine.Run(KernelOf(body), threads, {a, b, c});
  seen.findings = machine.findings();
  return seen;
}

TEST(Checks, SayNothingOfACleanKernel) {
  const Seen seen = See("ld.global.nc.u32 %r1, [%rd1];\nst.global.u32 [%rd2], %r1;");
  EXPECT_EQ(seen.code, 0);
  EXPECT_EQ(seen.findings, "");
}

TEST(Checks, FindReadsAndWritesBeyondAnAllocation) {
  const Seen read = See("ld.global.u32 %r1, [%rd3];");  // 128 bytes for 64 threads
  EXPECT_EQ(read.code, kIllegalAddress);
  EXPECT_THAT(
      read.findings,
      AllOf(
          HasSubstr("out of bounds: kernel 'k', block (0, 0, 0), thread (32, 0, 0) reads 4 bytes of global memory, 0 bytes past the end of "
                    "an allocation of 128 bytes"),
          HasSubstr("ld.global.u32 %r1, [%rd3]")));
  const Seen write = See("st.global.u32 [%rd1+-4], %r1;");
  EXPECT_EQ(write.code, kIllegalAddress);
  EXPECT_THAT(write.findings, HasSubstr("thread (0, 0, 0) writes 4 bytes of global memory"));
  EXPECT_EQ(See("ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%rd13+112];").code, 0) << "its last bytes";
  EXPECT_EQ(See("ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%rd13+128];").code, kIllegalAddress);
  EXPECT_EQ(See("mov.u64 %rd5, 0;\nld.global.u32 %r1, [%rd5];").code, kIllegalAddress);
}

TEST(Checks, FindMisalignedVectors) {
  const Seen seen = See("ld.global.v2.u32 {%r1, %r2}, [%rd1];");
  EXPECT_EQ(seen.code, kMisalignedAddress);
  EXPECT_THAT(seen.findings, HasSubstr("thread (1, 0, 0) reads 8 bytes at an address that is 4 past a multiple of that"));
  EXPECT_EQ(See(".shared .align 16 .b8 s[64];\nst.shared.v2.u32 [s+4], {%r0, %r0};").code, kMisalignedAddress);
}

TEST(Checks, FindSharedAccessesBeyondWhatIsDeclared) {
  const Seen seen = See(".shared .align 16 .b8 s[64];\nst.shared.u32 [s+64], %r0;");
  EXPECT_EQ(seen.code, kIllegalAddress);
  EXPECT_THAT(seen.findings, HasSubstr("accesses 4 bytes at 64 of shared memory, of which there are 64 bytes"));
  EXPECT_EQ(See(".shared .align 16 .b8 s[64];\nld.shared.u32 %r1, [s+-4];").code, kIllegalAddress);
  EXPECT_EQ(See(".local .align 4 .b8 l[16];\nst.local.u32 [l+16], %r0;").code, kIllegalAddress);
}

TEST(Checks, FindReadsOfWhatNobodyWrote) {
  EXPECT_THAT(See("ld.global.u32 %r1, [%rd2];").findings,
              HasSubstr("uninitialised: kernel 'k', block (0, 0, 0), thread (0, 0, 0) reads 4 bytes of global memory"));
  EXPECT_THAT(See(".shared .align 16 .b8 s[64];\nld.shared.u32 %r1, [s+8];").findings,
              HasSubstr("reads byte 8 of shared memory, which nobody of the block wrote"));
}

TEST(Checks, FindConstantReadsOfWhatTheLaunchWrites) {
  EXPECT_THAT(See("st.global.u32 [%rd1], %r0;\nld.global.nc.u32 %r1, [%rd1];").findings,
              HasSubstr("reads as constant (ld.global.nc) what this launch has written"));
  EXPECT_THAT(See("ld.global.nc.u32 %r1, [%rd1];\nst.global.u32 [%rd1], %r1;").findings,
              HasSubstr("writes what this launch has read as constant"));
  EXPECT_EQ(See("ld.global.u32 %r1, [%rd1];\nst.global.u32 [%rd1], %r1;").findings, "");
}

const char* const kOwnCell = ".shared .align 16 .b8 s[256];\nmov.u64 %rd5, s;\nadd.s64 %rd5, %rd5, %rd10;\nst.shared.u32 [%rd5], %r0;\n";
// That of the thread 32 further, of another warp; and of the next lane.
const char* const kOfOtherWarp = "xor.b32 %r1, %r0, 32;\nmul.wide.u32 %rd6, %r1, 4;\nmov.u64 %rd7, s;\nadd.s64 %rd6, %rd7, %rd6;\n";
const char* const kOfNextLane = "xor.b32 %r1, %r0, 1;\nmul.wide.u32 %rd6, %r1, 4;\nmov.u64 %rd7, s;\nadd.s64 %rd6, %rd7, %rd6;\n";

TEST(Checks, FindRacesOfWarps) {
  const std::string write = kOwnCell, other = kOfOtherWarp, read = "ld.shared.u32 %r2, [%rd6];\n", barrier = "bar.sync 0;\n";
  EXPECT_THAT(See(write + other + read).findings,
              AllOf(HasSubstr("race: "),
                    HasSubstr("thread (32, 0, 0) reads byte 0 of shared memory, which thread (0, 0, 0) wrote with no barrier between")));
  EXPECT_EQ(See(write + other + barrier + read).findings, "");
  EXPECT_THAT(See(write + other + "bar.warp.sync -1;\n" + read).findings, HasSubstr("race: ")) << "a warp's barrier is not the block's";
  // Read, then written by another without a barrier.
  EXPECT_THAT(See(write + other + barrier + read + "st.shared.u32 [%rd5], 9;").findings,
              HasSubstr("thread (32, 0, 0) writes byte 128 of shared memory, which thread (0, 0, 0) read with no barrier between"));
  EXPECT_EQ(See(write + other + barrier + read + barrier + "st.shared.u32 [%rd5], 9;").findings, "");
  EXPECT_THAT(See(".shared .align 16 .b8 s[256];\nst.shared.u32 [s], %r0;").findings,
              HasSubstr("writes byte 0 of shared memory, which thread (0, 0, 0) wrote"));
  EXPECT_EQ(See(".shared .align 16 .b8 s[256];\nst.shared.u32 [s], 7;").findings, "") << "the same value";
}

TEST(Checks, FindRacesWithinAWarp) {
  const std::string write = kOwnCell, next = kOfNextLane, read = "ld.shared.u32 %r2, [%rd6];\n";
  EXPECT_THAT(See(write + next + read).findings,
              HasSubstr("thread (0, 0, 0) reads byte 4 of shared memory, which thread (1, 0, 0) wrote with no barrier between"));
  EXPECT_EQ(See(write + next + "bar.warp.sync -1;\n" + read).findings, "");
  EXPECT_EQ(See(write + "ld.shared.u32 %r2, [%rd5];\nst.shared.u32 [%rd5], %r2;").findings, "") << "one's own bytes";
}

TEST(Checks, FindRacesOnGlobalMemory) {
  const auto see = [](const std::string& body, uint32_t blocks) {
    TestMachine machine;
    const uint64_t a = machine.Put(std::vector<uint32_t>(64, 3)), b = machine.Room(256);
    EXPECT_EQ(machine.Run(KernelOf("mov.u32 %r1, %ctaid.x;\n" + body), {64, 1, 1}, {a, b, 0}, blocks), 0);
    return machine.findings();
  };
  const std::string own = "st.global.u32 [%rd2], %r0;\n",
                    next = "xor.b32 %r3, %r0, 32;\nmul.wide.u32 %rd5, %r3, 4;\nadd.s64 %rd5, %rd12, %rd5;\n",
                    read = "ld.global.u32 %r2, [%rd5];\n";
  EXPECT_THAT(see(own + next + read, 1),
              HasSubstr("reads byte 0 of an allocation of 256 bytes, which thread (0, 0, 0) wrote with no barrier between"));
  EXPECT_EQ(see(own + next + "bar.sync 0;\n" + read, 1), "");
  EXPECT_THAT(see("st.global.u32 [%rd2], %r1;", 2),
              HasSubstr("writes byte 0 of an allocation of 256 bytes, which another block wrote in the same launch"));
  EXPECT_EQ(see("st.global.u32 [%rd2], %r0;", 2), "") << "both write the same";
  EXPECT_THAT(see("ld.global.u32 %r2, [%rd1];\nsetp.eq.s32 %p1, %r1, 2;\n@%p1 st.global.u32 [%rd1], %r0;", 3),
              HasSubstr("which another block read"));
  EXPECT_EQ(see("red.global.add.u32 [%rd11], 1;", 3), "");
  EXPECT_THAT(
      see("red.global.add.u32 [%rd11], 1;\nld.global.u32 %r2, [%rd11+4];\nsetp.eq.s32 %p1, %r1, 2;\n@%p1 ld.global.u32 %r2, [%rd11];", 3),
      HasSubstr("reads byte 0 of an allocation of 256 bytes, which another block wrote"));
}

TEST(Checks, LetAtomicOperationsMeetEachOtherAndNothingElse) {
  const std::string begin = ".shared .align 4 .b8 s[4];\nsetp.eq.s32 %p1, %r0, 0;\n@%p1 st.shared.u32 [s], 0;\n",
                    add = "atom.shared.add.u32 %r1, [s], 1;\n";
  EXPECT_EQ(See(begin + "bar.sync 0;\n" + add).findings, "");
  EXPECT_THAT(See(begin + add).findings, HasSubstr("race: "));
  EXPECT_THAT(See(begin + "bar.sync 0;\n" + add + "ld.shared.u32 %r2, [s];").findings, HasSubstr("race: "));
}

TEST(Checks, FindCopiesThatNobodyWaitedForOrThatComeTooEarly) {
  const std::string stage =
                        ".shared .align 16 .b8 s[1024];\nmov.u32 %r5, s;\nshl.b32 %r6, %r0, 4;\nadd.s32 %r6, %r5, %r6;\nmov.u32 %r8, "
                        "s;\nxor.b32 %r7, %r0, 32;\n"
                        "shl.b32 %r7, %r7, 4;\nadd.s32 %r7, %r8, %r7;\n",
                    copy = "cp.async.cg.shared.global [%r6], [%rd13], 16;\ncp.async.commit_group;\n", wait = "cp.async.wait_group 0;\n",
                    barrier = "bar.sync 0;\n", read = "ld.shared.u32 %r9, [%r7];\n";
  EXPECT_EQ(See(stage + copy + wait + barrier + read).findings, "");
  EXPECT_THAT(See(stage + copy + barrier + read).findings, HasSubstr("may still be writing"));
  EXPECT_THAT(See(stage + copy + wait + read).findings, AllOf(HasSubstr("race: "), HasSubstr("with no barrier between")));
  // The next copy begins while another thread may still read.
  EXPECT_THAT(See(stage + copy + wait + barrier + read + copy).findings,
              HasSubstr("thread (32, 0, 0) begins to copy to byte 512 of shared memory, which thread (0, 0, 0) read"));
  EXPECT_EQ(See(stage + copy + wait + barrier + read + barrier + copy).findings, "");
  EXPECT_EQ(See(stage + "add.s64 %rd13, %rd13, 120;\n" + copy + wait).code, kMisalignedAddress);
  EXPECT_EQ(See(stage + "add.s64 %rd13, %rd13, 128;\n" + copy + wait).code, kIllegalAddress);
  EXPECT_EQ(See(stage + "add.s64 %rd13, %rd13, 128;\n" + copy).code, kIllegalAddress) << "nor may one that nobody waits for";
}

TEST(Checks, FindBarriersThatNotAllReach) {
  EXPECT_THAT(See("setp.eq.s32 %p1, %r0, 40;\n@%p1 ret;\nbar.sync 0;").findings,
              HasSubstr("waits at a barrier that thread (40, 0, 0) has exited without reaching"));
  EXPECT_THAT(See("setp.lt.s32 %p1, %r0, 5;\n@%p1 bra A;\nbar.sync 0;\nbra.uni B;\nA:\nbar.sync 0;\nB:").findings,
              HasSubstr("divergent barrier: "));
  const Seen numbers = See("setp.lt.s32 %p1, %r0, 32;\n@%p1 bra A;\nbar.sync 0;\nbra.uni B;\nA:\nbar.sync 1;\nB:");
  EXPECT_THAT(numbers.findings, HasSubstr("deadlock: "));
  EXPECT_EQ(numbers.code, kLaunchTimeout);
  EXPECT_EQ(See("setp.lt.s32 %p1, %r0, 5;\n@%p1 bra A;\nadd.s32 %r1, %r1, 1;\nA:\nbar.sync 0;").findings, "");
}

TEST(Checks, FindLanesThatAreWaitedForInVain) {
  const Seen seen = See("setp.lt.s32 %p1, %r0, 5;\n@%p1 bra A;\nbar.sync 0;\nbra.uni B;\nA:\nbar.warp.sync -1;\nB:");
  EXPECT_EQ(seen.code, kLaunchTimeout);
  EXPECT_THAT(seen.findings, HasSubstr("waits for lanes of its warp that never come"));
  EXPECT_THAT(See("shfl.sync.idx.b32 %r1, %r0, 40, 31, 15;", {4, 1, 1}).findings, HasSubstr("lane 8, which takes no part"));
  EXPECT_THAT(See("bar.warp.sync 3;").findings, HasSubstr("waits for some lanes of its warp alone"));
  EXPECT_EQ(See("setp.lt.s32 %p1, %r0, 5;\n@%p1 ret;\nbar.warp.sync -1;").code, 0) << "who has exited is not waited for";
}

TEST(Checks, FindMisuseOfMatrixInstructions) {
  const std::string sums = "{%f0, %f1, %f2, %f3, %f4, %f5, %f6, %f7}", declared = ".shared .align 128 .b8 s[2048];\nmov.u32 %r5, s;\n",
                    store = "wmma.store.d.sync.aligned.row.m16n16k16.shared.f32 [%r5], " + sums + ", 16;\n";
  EXPECT_EQ(See(declared + store, {32, 1, 1}).findings, "");
  EXPECT_THAT(See(declared + store, {16, 1, 1}).findings, HasSubstr("takes no part"));
  EXPECT_THAT(See(declared + "mad.lo.s32 %r5, %r0, 32, %r5;\n" + store, {32, 1, 1}).findings,
              HasSubstr("another address or stride than lane 0"));
  EXPECT_EQ(See(declared + "add.s32 %r5, %r5, 16;\n" + store, {32, 1, 1}).code, kMisalignedAddress);
  EXPECT_EQ(See(declared + "add.s32 %r5, %r5, 1536;\n" + store, {32, 1, 1}).code, kIllegalAddress);
  const std::string read = "ld.shared.u32 %r9, [s];\n";
  EXPECT_THAT(See(declared + store + read, {32, 1, 1}).findings, HasSubstr("which a lane of warp 0 wrote with no barrier between"));
  EXPECT_EQ(See(declared + store + "bar.warp.sync -1;\n" + read, {32, 1, 1}).findings, "");
}

TEST(Checks, CountWhatRecursInsteadOfRepeatingIt) {
  const Seen seen = See("ld.global.u32 %r1, [%rd2];");
  EXPECT_EQ(std::count(seen.findings.begin(), seen.findings.end(), '\n'), 3);
  EXPECT_THAT(seen.findings, HasSubstr("(uninitialised: 63 more at the same instruction)"));
}

// 32 lanes read a word each: side by side, 8 sectors and one pass; 32 words apart, a sector each; in shared memory, all from one bank.
TEST(Counts, TellOfScatteredReadsAndOfBankConflicts) {
  const std::string path = testing::TempDir() + "/ptx_counts_" + std::to_string(::getpid());
  const auto count = [&](const std::string& body) {
    std::remove(path.c_str());
    TestMachine machine;
    AccessCounts counts(path);
    const uint64_t from = machine.Put(std::vector<uint32_t>(1024, 1));
    EXPECT_EQ(machine.Run(KernelOf(body), {32, 1, 1}, {from, 0, 0}, 1, &counts), 0);
    std::ifstream file(path);
    std::string text(std::istreambuf_iterator<char>(file), {});
    std::remove(path.c_str());
    return text;
  };
  EXPECT_THAT(count("ld.global.u32 %r1, [%rd1];"), HasSubstr("global: 1 requests, 4.00 sectors each, 1.00 times as many as need be\n"));
  const std::string far = "shl.b64 %rd5, %rd10, 5;\n";
  EXPECT_THAT(count(far + "add.s64 %rd5, %rd5, %rd11;\nld.global.u32 %r1, [%rd5];"),
              AllOf(HasSubstr("32.00 sectors each, 8.00 times as many as need be"), HasSubstr("8.0 times, 100% of all sectors: line "),
                    HasSubstr("ld.global.u32 %r1, [%rd5]")));
  EXPECT_THAT(count("ld.global.u32 %r1, [%rd11];"), HasSubstr("1.00 sectors each, 1.00 times"));
  const std::string tile = ".shared .align 16 .b8 s[4096];\nmov.u64 %rd6, s;\n";
  EXPECT_THAT(count(tile + "add.s64 %rd5, %rd6, %rd10;\nst.shared.u32 [%rd5], %r0;"),
              HasSubstr("shared: 1 requests, 1.00 passes each, 1.00 times"));
  EXPECT_THAT(count(tile + far + "add.s64 %rd5, %rd6, %rd5;\nst.shared.u32 [%rd5], %r0;"), HasSubstr("32.00 passes each, 32.00 times"));
  EXPECT_THAT(count(tile + "shl.b64 %rd5, %rd10, 2;\nadd.s64 %rd5, %rd6, %rd5;\nst.shared.v4.u32 [%rd5], {%r0, %r0, %r0, %r0};"),
              HasSubstr("4.00 passes each, 1.00 times"));
}

}  // namespace
}  // namespace lathe::ptx
