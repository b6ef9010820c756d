// How lanes, warps and blocks go on together.
#include <gmock/gmock.h>

#include <cmath>
#include <numeric>

#include "half.h"
#include "test_machine.h"

namespace lathe::ptx {
namespace {

std::vector<uint32_t> Numbers(uint32_t count) {
  std::vector<uint32_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

TEST(Execution, TakesBothSidesOfABranchAndMeetsBehindIt) {
  TestMachine machine;
  const uint64_t to = machine.Room(4 * 64);
  // Lanes below 7 run three times around a loop; behind it all vote together, which takes that they have met.
  const std::string text = KernelOf(
      "setp.lt.u32 %p1, %r0, 7;\nmov.u32 %r1, 0;\nmov.u32 %r2, 0;\n@!%p1 bra ELSE;\nLOOP:\nadd.s32 %r1, %r1, 10;\nadd.s32 %r2, %r2, 1;\n"
      "setp.lt.u32 %p2, %r2, 3;\n@%p2 bra LOOP;\nbra.uni BEHIND;\nELSE:\nadd.s32 %r1, %r0, 1000;\nBEHIND:\n"
      "vote.sync.ballot.b32 %r3, %p1, -1;\nadd.s32 %r1, %r1, %r3;\nst.global.u32 [%rd1], %r1;");
  ASSERT_EQ(machine.Run(text, {64, 1, 1}, {to, 0, 0}), 0);
  EXPECT_EQ(machine.findings(), "");
  const std::vector<uint32_t> result = machine.Get<uint32_t>(to, 64);
  for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(result[i], (i < 7 ? 30 : i + 1000) + (i < 32 ? 127 : 0)) << i;
}

TEST(Execution, LeavesRegistersOfInactiveLanesAlone) {
  TestMachine machine;
  const uint64_t to = machine.Room(4 * 40);
  const std::string text = KernelOf(
      "and.b32 %r1, %r0, 1;\nsetp.eq.s32 %p1, %r1, 0;\nmov.u32 %r2, 5;\n@%p1 mov.u32 %r2, 6;\n@!%p1 add.s32 %r2, %r2, 10;\n"
      "@%p1 ret;\nst.global.u32 [%rd1], %r2;");
  const std::vector<uint32_t> before(40, 1);
  std::memcpy(reinterpret_cast<void*>(to), before.data(), 160);
  ASSERT_EQ(machine.Run(text, {40, 1, 1}, {to, 0, 0}), 0);
  const std::vector<uint32_t> result = machine.Get<uint32_t>(to, 40);
  for (uint32_t i = 0; i < 40; ++i) EXPECT_EQ(result[i], i % 2 == 0 ? 1 : 15) << i;
}

TEST(Execution, NumbersThreadsAndBlocksInAllDimensions) {
  TestMachine machine;
  const uint64_t to = machine.Room(4 * 48);
  const std::string text = KernelOf(
      "mov.u32 %r1, %tid.y;\nmov.u32 %r2, %tid.z;\nmov.u32 %r3, %ctaid.x;\nmov.u32 %r4, %ntid.x;\nmov.u32 %r5, %nctaid.x;\n"
      "mad.lo.s32 %r6, %r2, 4, %r1;\nmad.lo.s32 %r6, %r6, %r4, %r0;\nmad.lo.s32 %r7, %r3, 24, %r6;\nmul.wide.u32 %rd5, %r7, 4;\n"
      "add.s64 %rd5, %rd11, %rd5;\nmad.lo.s32 %r8, %r5, 1000, %r7;\nst.global.u32 [%rd5], %r8;");
  ASSERT_EQ(machine.Run(text, {3, 4, 2}, {to, 0, 0}, 2), 0);
  const std::vector<uint32_t> result = machine.Get<uint32_t>(to, 48);
  for (uint32_t i = 0; i < 48; ++i) EXPECT_EQ(result[i], 2000 + i);
}

TEST(Execution, HandsSharedMemoryOverAtABarrier) {
  TestMachine machine;
  const uint64_t to = machine.Room(4 * 96);
  const std::string text = KernelOf(
      ".shared .align 4 .b8 tile[384];\nmov.u64 %rd5, tile;\nadd.s64 %rd6, %rd5, %rd10;\nst.shared.u32 [%rd6], %r0;\nbar.sync 0;\n"
      "sub.s32 %r1, 95, %r0;\nmul.wide.u32 %rd7, %r1, 4;\nadd.s64 %rd8, %rd5, %rd7;\nld.shared.u32 %r2, [%rd8];\nst.global.u32 [%rd1], "
      "%r2;");
  ASSERT_EQ(machine.Run(text, {96, 1, 1}, {to, 0, 0}), 0);
  EXPECT_EQ(machine.findings(), "");
  const std::vector<uint32_t> result = machine.Get<uint32_t>(to, 96);
  for (uint32_t i = 0; i < 96; ++i) EXPECT_EQ(result[i], 95 - i);
}

TEST(Execution, ShufflesRegistersOfAWarp) {
  TestMachine machine;
  const uint64_t to = machine.Room(4 * 32 * 4);
  const std::string text = KernelOf(
      "shfl.sync.down.b32 %r1, %r0, 5, 31, -1;\nshfl.sync.bfly.b32 %r2, %r0, 16, 31, -1;\n"
      "shfl.sync.idx.b32 %r3, %r0, 3, 0x181f, -1;\n"  // segments of 8 lanes
      "shfl.sync.up.b32 %r4, %r0, 1, 0, -1;\nst.global.u32 [%rd1], %r1;\nst.global.u32 [%rd1+128], %r2;\n"
      "st.global.u32 [%rd1+256], %r3;\nst.global.u32 [%rd1+384], %r4;");
  ASSERT_EQ(machine.Run(text, {32, 1, 1}, {to, 0, 0}), 0);
  EXPECT_EQ(machine.findings(), "");
  const std::vector<uint32_t> result = machine.Get<uint32_t>(to, 128);
  for (uint32_t i = 0; i < 32; ++i) {
    EXPECT_EQ(result[i], i + 5 < 32 ? i + 5 : i);
    EXPECT_EQ(result[32 + i], i ^ 16);
    EXPECT_EQ(result[64 + i], i / 8 * 8 + 3);
    EXPECT_EQ(result[96 + i], i == 0 ? 0 : i - 1);
  }
}

TEST(Execution, CountsAtomically) {
  TestMachine machine;
  const uint64_t to = machine.Put<uint32_t>({5, 0}), old = machine.Room(4 * 64);
  const std::string text = KernelOf(
      ".shared .align 4 .b8 count[4];\nsetp.ne.s32 %p1, %r0, 0;\n@%p1 bra SET;\nst.shared.u32 [count], 100;\nSET:\nbar.sync 0;\n"
      "atom.shared.add.u32 %r1, [count], 2;\nst.global.u32 [%rd2], %r1;\nred.global.max.s32 [%rd11], %r0;\nbar.sync 0;\n"
      "ld.shared.u32 %r2, [count];\n@!%p1 st.global.u32 [%rd11+4], %r2;");
  ASSERT_EQ(machine.Run(text, {64, 1, 1}, {to, old, 0}), 0);
  EXPECT_EQ(machine.findings(), "");
  EXPECT_EQ(machine.Get<uint32_t>(to, 2), (std::vector<uint32_t>{63, 228}));
  std::vector<uint32_t> all = machine.Get<uint32_t>(old, 64);
  std::sort(all.begin(), all.end());
  for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(all[i], 100 + 2 * i);
}

// One thread copies two groups of 16 bytes, waits for the older one, and reads both; then waits for all.
TEST(Execution, LetsAsynchronousCopiesArriveAsLateAsAllowed) {
  TestMachine machine;
  const uint64_t from = machine.Put(Numbers(8)), to = machine.Room(4 * 4);
  const std::string text = KernelOf(
      ".shared .align 16 .b8 stage[32];\nmov.u32 %r1, stage;\nadd.s32 %r2, %r1, 16;\nmov.u32 %r5, 8;\n"
      "cp.async.cg.shared.global [%r1], [%rd11], 16;\ncp.async.commit_group;\nadd.s64 %rd5, %rd11, 16;\n"
      "cp.async.cg.shared.global [%r2], [%rd5], 16, %r5;\ncp.async.commit_group;\ncp.async.wait_group 1;\n"
      "ld.shared.u32 %r3, [stage+4];\nst.global.u32 [%rd12], %r3;\ncp.async.wait_group 0;\n"
      "ld.shared.u32 %r3, [stage+20];\nst.global.u32 [%rd12+4], %r3;\nld.shared.u32 %r3, [stage+28];\nst.global.u32 [%rd12+8], %r3;");
  ASSERT_EQ(machine.Run(text, {1, 1, 1}, {from, to, 0}), 0);
  EXPECT_EQ(machine.findings(), "");
  EXPECT_EQ(machine.Get<uint32_t>(to, 3), (std::vector<uint32_t>{1, 5, 0})) << "of the second, only 8 bytes are copied";
}

TEST(Execution, ShowsOldBytesWhereNobodyWaitedForACopy) {
  TestMachine machine;
  const uint64_t from = machine.Put(Numbers(4)), to = machine.Room(4);
  const std::string text = KernelOf(
      ".shared .align 16 .b8 stage[16];\nmov.u32 %r1, stage;\nst.shared.u32 [stage+4], 77;\ncp.async.cg.shared.global [%r1], [%rd11], 16;\n"
      "cp.async.commit_group;\ncp.async.wait_group 1;\nld.shared.u32 %r3, [stage+4];\nst.global.u32 [%rd12], %r3;");
  ASSERT_EQ(machine.Run(text, {1, 1, 1}, {from, to, 0}), 0);
  EXPECT_EQ(machine.Get<uint32_t>(to, 1)[0], 77U);
  EXPECT_THAT(machine.findings(), testing::HasSubstr("an asynchronous copy of thread (0, 0, 0) may still be writing"));
}

std::string Registers(const char* prefix, int first) {
  std::string list = "{";
  for (int i = 0; i < 8; ++i) list += (i == 0 ? "" : ", ") + std::string(prefix) + std::to_string(first + i);
  return list + "}";
}

// sum = pixels * weights, and once more on top, by one warp; both factors are staged in shared memory, 24 halves a row.
TEST(Execution, MultipliesMatricesAsALoopDoes) {
  constexpr int kSide = 16, kRow = 24;
  TestMachine machine;
  std::vector<uint16_t> a(kSide * kRow), b(kSide * kRow);
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = FloatToHalf(static_cast<float>(static_cast<int>(i * 7 % 23) - 11) / 8);
    b[i] = FloatToHalf(static_cast<float>(static_cast<int>(i * 5 % 19) - 9) / 4);
  }
  const uint64_t from_a = machine.Put(a), from_b = machine.Put(b), to = machine.Room(kSide * kSide * 4);
  std::string text = ".shared .align 32 .b8 pixels[768];\n.shared .align 32 .b8 weights[768];\n.shared .align 32 .b8 sums[1024];\n";
  for (int i = 0; i < 6; ++i) {
    const std::string at = std::to_string(128 * i);
    text += "ld.global.u32 %r1, [%rd1+" + at + "];\nld.global.u32 %r2, [%rd2+" + at +
            "];\nmov.u64 %rd5, pixels;\nadd.s64 %rd5, %rd5, %rd10;\n" + "st.shared.u32 [%rd5+" + at +
            "], %r1;\nmov.u64 %rd5, weights;\nadd.s64 %rd5, %rd5, %rd10;\nst.shared.u32 [%rd5+" + at + "], %r2;\n";
  }
  text += "bar.warp.sync -1;\nmov.u32 %r3, pixels;\nmov.u32 %r4, weights;\nmov.u32 %r5, sums;\nmov.u32 %r6, 24;\n";
  for (int i = 0; i < 8; ++i) text += "mov.f32 %f" + std::to_string(i) + ", 0f3F800000;\n";
  const std::string sum = Registers("%f", 0), factor_a = Registers("%r", 10), factor_b = Registers("%r", 20);
  text += "wmma.load.a.sync.aligned.row.m16n16k16.shared.f16 " + factor_a + ", [%r3], %r6;\n";
  text += "wmma.load.b.sync.aligned.col.m16n16k16.shared.f16 " + factor_b + ", [%r4], %r6;\n";
  for (int i = 0; i < 2; ++i)
    text += "wmma.mma.sync.aligned.row.col.m16n16k16.f32.f32 " + sum + ", " + factor_a + ", " + factor_b + ", " + sum + ";\n";
  text += "wmma.store.d.sync.aligned.row.m16n16k16.shared.f32 [%r5], " + sum +
          ", 16;\nbar.warp.sync -1;\nmov.u64 %rd5, sums;\nadd.s64 %rd5, %rd5, %rd10;\n";
  for (int i = 0; i < 8; ++i)
    text += "ld.shared.u32 %r1, [%rd5+" + std::to_string(128 * i) + "];\nst.global.u32 [%rd3+" + std::to_string(128 * i) + "], %r1;\n";
  ASSERT_EQ(machine.Run(KernelOf(text), {32, 1, 1}, {from_a, from_b, to}), 0);
  EXPECT_EQ(machine.findings(), "");
  const std::vector<float> result = machine.Get<float>(to, kSide * kSide);
  for (size_t m = 0; m < kSide; ++m)
    for (size_t n = 0; n < kSide; ++n) {
      float expected = 1;
      for (size_t k = 0; k < kSide; ++k) expected += 2 * HalfToFloat(a[m * kRow + k]) * HalfToFloat(b[n * kRow + k]);
      ASSERT_EQ(result[m * kSide + n], expected) << m << ' ' << n;
    }
}

// Were a fragment's elements in plain order, a kernel that reads them by itself would seem right.
TEST(Execution, HidesWhichElementALaneOfAFragmentHolds) {
  TestMachine machine;
  std::vector<uint16_t> a(256);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<uint16_t>(i);
  const uint64_t from = machine.Put(a), to = machine.Room(128);
  std::string text = ".shared .align 32 .b8 pixels[512];\nmov.u64 %rd5, pixels;\nadd.s64 %rd5, %rd5, %rd10;\n";
  for (int i = 0; i < 4; ++i)
    text += "ld.global.u32 %r1, [%rd1+" + std::to_string(128 * i) + "];\nst.shared.u32 [%rd5+" + std::to_string(128 * i) + "], %r1;\n";
  text += "bar.warp.sync -1;\nmov.u32 %r3, pixels;\nwmma.load.a.sync.aligned.row.m16n16k16.shared.f16 " + Registers("%r", 10) +
          ", [%r3], 16;\nst.global.u32 [%rd2], %r10;";
  ASSERT_EQ(machine.Run(KernelOf(text), {32, 1, 1}, {from, to, 0}), 0);
  const std::vector<uint32_t> result = machine.Get<uint32_t>(to, 32);
  uint32_t in_place = 0;
  for (uint32_t lane = 0; lane < 32; ++lane)
    in_place += (result[lane] & 0xffff) == lane * 8 || (result[lane] & 0xffff) == lane * 16 ? 1 : 0;
  EXPECT_LT(in_place, 4U);
}

}  // namespace
}  // namespace lathe::ptx
