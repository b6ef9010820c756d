// What single instructions compute, against the same in C++ written another way.
#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "half.h"
#include "test_machine.h"

namespace lathe::ptx {
namespace {

const std::vector<uint32_t> kAwkward = {0,          1,          2,          3,          7,          31,        32,
                                        33,         255,        256,        0x1234,     0x7fff,     0x8000,    0xffff,
                                        0x12345678, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff};

// The instruction for every pair of values: r[i] = op(a, b[, third]).
std::vector<uint32_t> Apply(const std::string& instruction, const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  TestMachine machine;
  const uint64_t from_a = machine.Put(a), from_b = machine.Put(b), to = machine.Room(a.size() * 4);
  const std::string text = KernelOf("ld.global.u32 %r1, [%rd1];\nld.global.u32 %r2, [%rd2];\nmov.b32 %f1, %r1;\nmov.b32 %f2, %r2;\n" +
                                    instruction + "\nst.global.u32 [%rd3], %r9;");
  EXPECT_EQ(machine.Run(text, {static_cast<uint32_t>(a.size()), 1, 1}, {from_a, from_b, to}), 0) << instruction;
  EXPECT_EQ(machine.findings(), "") << instruction;
  return machine.Get<uint32_t>(to, a.size());
}

using OfTwo = std::function<uint32_t(uint32_t, uint32_t)>;

void ExpectForAll(const std::string& instruction, const std::vector<uint32_t>& values, const OfTwo& expected) {
  std::vector<uint32_t> a, b;
  for (const uint32_t x : values)
    for (const uint32_t y : values) {
      a.push_back(x);
      b.push_back(y);
    }
  const std::vector<uint32_t> result = Apply(instruction, a, b);
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_EQ(result[i], expected(a[i], b[i])) << instruction << " of " << std::hex << a[i] << " and " << b[i];
}

int64_t S(uint32_t x) { return static_cast<int32_t>(x); }
uint32_t U(int64_t x) { return static_cast<uint32_t>(x); }
float F(uint32_t x) { return std::bit_cast<float>(x); }
uint32_t B(float x) { return std::bit_cast<uint32_t>(x); }

TEST(Instructions, ComputeWholeNumbersAsC) {
  const std::vector<std::pair<const char*, OfTwo>> table = {
      {"add.s32 %r9, %r1, %r2;", [](uint32_t a, uint32_t b) { return U(S(a) + S(b)); }},
      {"sub.s32 %r9, %r1, %r2;", [](uint32_t a, uint32_t b) { return U(S(a) - S(b)); }},
      {"mul.lo.s32 %r9, %r1, %r2;", [](uint32_t a, uint32_t b) { return U(S(a) * S(b)); }},
      {"mul.hi.s32 %r9, %r1, %r2;", [](uint32_t a, uint32_t b) { return U((S(a) * S(b)) >> 32); }},
      {"mul.hi.u32 %r9, %r1, %r2;", [](uint32_t a, uint32_t b) { return static_cast<uint32_t>(uint64_t{a} * b >> 32); }},
      {"mad.lo.s32 %r9, %r1, %r2, -3;", [](uint32_t a, uint32_t b) { return U(S(a) * S(b) - 3); }},
      {"min.s32 %r9, %r1, %r2;", [](uint32_t a, uint32_t b) { return S(a) < S(b) ? a : b; }},
      {"max.s32 %r9, %r1, %r2;", [](uint32_t a, uint32_t b) { return S(a) < S(b) ? b : a; }},
      {"min.u32 %r9, %r1, %r2;", [](uint32_t a, uint32_t b) { return a < b ? a : b; }},
      {"div.s32 %r9, %r1, %r2;", [](uint32_t a, uint32_t b) { return b == 0 ? ~0U : U(S(a) / S(b)); }},
      {"rem.s32 %r9, %r1, %r2;", [](uint32_t a, uint32_t b) { return b == 0 ? a : U(S(a) % S(b)); }},
      {"div.u32 %r9, %r1, %r2;", [](uint32_t a, uint32_t b) { return b == 0 ? ~0U : a / b; }},
      {"and.b32 %r9, %r1, %r2;", [](uint32_t a, uint32_t b) { return a & b; }},
      {"xor.b32 %r9, %r1, %r2;", [](uint32_t a, uint32_t b) { return a ^ b; }},
      {"not.b32 %r9, %r1;", [](uint32_t a, uint32_t) { return a ^ 0xffffffff; }},
      {"neg.s32 %r9, %r1;", [](uint32_t a, uint32_t) { return U(-S(a)); }},
      {"shl.b32 %r9, %r1, %r2;", [](uint32_t a, uint32_t n) { return n > 31 ? 0 : a << n; }},
      {"shr.u32 %r9, %r1, %r2;", [](uint32_t a, uint32_t n) { return n > 31 ? 0 : a >> n; }},
      {"shr.s32 %r9, %r1, %r2;", [](uint32_t a, uint32_t n) { return U(S(a) >> std::min(n, 31U)); }},
      {"popc.b32 %r9, %r1;", [](uint32_t a, uint32_t) { return U(__builtin_popcount(a)); }},
      {"clz.b32 %r9, %r1;", [](uint32_t a, uint32_t) { return a == 0 ? 32 : U(__builtin_clz(a)); }},
      {"bfe.u32 %r9, %r1, 5, 9;", [](uint32_t a, uint32_t) { return a >> 5 & 0x1ff; }},
      {"bfe.s32 %r9, %r1, 24, 8;", [](uint32_t a, uint32_t) { return U(S(a) >> 24); }},
      {"bfe.s32 %r9, %r1, 8, 8;", [](uint32_t a, uint32_t) { return U(static_cast<int8_t>(a >> 8)); }},
      {"bfe.s32 %r9, %r1, 28, 8;", [](uint32_t a, uint32_t) { return U(S(a) >> 28); }},
      {"bfe.s32 %r9, %r1, 40, 8;", [](uint32_t a, uint32_t) { return S(a) < 0 ? ~0U : 0; }},
      {"bfe.u32 %r9, %r1, 8, 0;", [](uint32_t, uint32_t) { return 0; }},
      {"bfi.b32 %r9, %r1, %r2, 8, 16;", [](uint32_t a, uint32_t b) { return (b & 0xff0000ff) | (a & 0xffff) << 8; }},
      {"prmt.b32 %r9, %r1, %r2, 30292;", [](uint32_t a, uint32_t b) { return (a & 0) | b; }},  // 0x7654: all of b
      {"prmt.b32 %r9, %r1, %r2, 0x0c40;",
       [](uint32_t a, uint32_t b) { return (a & 0xff) | (b & 0xff) << 8 | ((b & 0x80) != 0 ? 0xff0000U : 0U) | a << 24; }},
      {"dp4a.s32.s32 %r9, %r1, %r2, 5;",
       [](uint32_t a, uint32_t b) {
         int64_t sum = 5;
         for (int i = 0; i < 4; ++i) sum += int64_t{static_cast<int8_t>(a >> (8 * i))} * static_cast<int8_t>(b >> (8 * i));
         return U(sum);
       }},
      {"setp.lt.s32 %p1, %r1, %r2; selp.b32 %r9, 7, 9, %p1;", [](uint32_t a, uint32_t b) { return S(a) < S(b) ? 7 : 9; }},
      {"setp.gt.u32 %p1, %r1, %r2; selp.u32 %r9, 7, 9, %p1;", [](uint32_t a, uint32_t b) { return a > b ? 7 : 9; }},
      {"setp.ne.s32 %p1, %r1, 0; setp.ge.u32 %p2, %r1, %r2; xor.pred %p3, %p1, %p2; not.pred %p4, %p3; selp.b32 %r9, 1, 0, %p4;",
       [](uint32_t a, uint32_t b) { return (a != 0) == (a >= b) ? 1 : 0; }},
      {"mul.wide.s32 %rd5, %r1, %r2; shr.s64 %rd6, %rd5, 32; cvt.u32.u64 %r9, %rd6;",
       [](uint32_t a, uint32_t b) { return U((S(a) * S(b)) >> 32); }},
      {"cvt.u64.u32 %rd5, %r1; cvt.u64.u32 %rd6, %r2; shl.b64 %rd5, %rd5, 20; mul.hi.u64 %rd7, %rd5, %rd6; cvt.u32.u64 %r9, %rd7;",
       [](uint32_t a, uint32_t b) { return static_cast<uint32_t>((uint64_t{a} * b) >> 44); }},
      {"cvt.u16.u32 %rs1, %r1; cvt.u16.u32 %rs2, %r2; mul.lo.s16 %rs3, %rs1, %rs2; cvt.s32.s16 %r9, %rs3;",
       [](uint32_t a, uint32_t b) { return U(static_cast<int16_t>((a & 0xffff) * (b & 0xffff))); }},
      {"cvt.s32.s8 %r9, %r1;", [](uint32_t a, uint32_t) { return U(static_cast<int8_t>(a)); }},
      {"cvt.u32.u8 %r9, %r1;", [](uint32_t a, uint32_t) { return a & 0xff; }},
      {"mov.b32 {%rs1, %rs2}, %r1; mov.b32 %r9, {%rs2, %rs1};", [](uint32_t a, uint32_t) { return a << 16 | a >> 16; }},
      {"mov.b64 %rd5, {%r1, %r2}; shr.u64 %rd6, %rd5, 16; cvt.u32.u64 %r9, %rd6;",
       [](uint32_t a, uint32_t b) { return a >> 16 | b << 16; }},
  };
  for (const auto& [instruction, expected] : table) ExpectForAll(instruction, kAwkward, expected);
}

const std::vector<uint32_t> kAwkwardFloats = {B(0.0f),  B(-0.0f),    B(1.0f),    B(-1.0f),       B(0.5f),     B(1.5f),
                                              B(2.5f),  B(-2.5f),    B(3e9f),    B(-3e9f),       B(1e20f),    B(1e-40f),
                                              B(1e38f), B(3e38f),    B(0.1f),    B(16777217.0f), B(65519.0f), B(65520.0f),
                                              B(6e-8f), B(2.98e-8f), 0x7f800000, 0xff800000,     0x7fc00000,  B(255.5f)};

void ExpectFloats(const std::string& instruction, const std::function<float(float, float)>& expected) {
  ExpectForAll("" + instruction + " mov.b32 %r9, %f9;  setp.nan.f32 %p7, %f9, %f9; selp.b32 %r9, 0x7fc00000, %r9, %p7;", kAwkwardFloats,
               [&](uint32_t a, uint32_t b) {
                 const float x = expected(F(a), F(b));
                 return std::isnan(x) ? 0x7fc00000 : B(x);
               });
}

TEST(Instructions, ComputeFloatsAsC) {
  ExpectFloats("add.f32 %f9, %f1, %f2;", [](float a, float b) { return a + b; });
  ExpectFloats("sub.f32 %f9, %f1, %f2;", [](float a, float b) { return a - b; });
  ExpectFloats("mul.f32 %f9, %f1, %f2;", [](float a, float b) { return a * b; });
  ExpectFloats("div.rn.f32 %f9, %f1, %f2;", [](float a, float b) { return a / b; });
  ExpectFloats("fma.rn.f32 %f9, %f1, %f2, 0fBF800000;", [](float a, float b) { return std::fma(a, b, -1.0f); });
  ExpectFloats("rcp.rn.f32 %f9, %f1;", [](float a, float) { return 1.0f / a; });
  ExpectFloats("abs.f32 %f9, %f1;", [](float a, float) { return std::fabs(a); });
  ExpectFloats("neg.f32 %f9, %f1;", [](float a, float) {
    return std::isnan(a) ? a : 0.0f - a == 0 ? std::copysign(0.0f, std::signbit(a) ? 1.0f : -1.0f) : 0.0f - a;
  });
  ExpectFloats("min.f32 %f9, %f1, %f2;", [](float a, float b) { return a == 0 && b == 0 ? (std::signbit(a) ? a : b) : std::fmin(a, b); });
  ExpectFloats("max.f32 %f9, %f1, %f2;", [](float a, float b) { return a == 0 && b == 0 ? (std::signbit(a) ? b : a) : std::fmax(a, b); });
  ExpectFloats("cvt.sat.f32.f32 %f9, %f1;",
               [](float a, float) { return std::isnan(a) ? 0.0f : std::fmin(std::fmax(a, 0.0f), 1.0f) + 0.0f; });
  ExpectFloats("cvt.rni.f32.f32 %f9, %f1;", [](float a, float) { return std::rint(a); });
  ExpectFloats("cvt.rmi.f32.f32 %f9, %f1;", [](float a, float) { return std::floor(a); });
  ExpectFloats("cvt.rpi.f32.f32 %f9, %f1;", [](float a, float) { return std::ceil(a); });
}

TEST(Instructions, CompareNotANumberAsTheirNamesSay) {
  const auto is = [](const char* comparison, const std::function<bool(float, float)>& expected) {
    ExpectForAll(std::string("setp.") + comparison + ".f32 %p1, %f1, %f2; selp.b32 %r9, 1, 0, %p1;", kAwkwardFloats,
                 [&](uint32_t a, uint32_t b) { return expected(F(a), F(b)) ? 1 : 0; });
  };
  is("lt", [](float a, float b) { return a < b; });
  is("ge", [](float a, float b) { return a >= b; });
  is("eq", [](float a, float b) { return a == b; });
  is("ne", [](float a, float b) { return !std::isnan(a) && !std::isnan(b) && a != b; });
  is("neu", [](float a, float b) { return a != b; });
  is("leu", [](float a, float b) { return std::isnan(a) || std::isnan(b) || a <= b; });
  is("gtu", [](float a, float b) { return std::isnan(a) || std::isnan(b) || a > b; });
}

TEST(Instructions, ConvertFloatsToWholeNumbersWithinTheirRange) {
  const auto clamped = [](double x, double low, double high) { return std::isnan(x) ? 0 : std::fmin(std::fmax(x, low), high); };
  ExpectForAll("cvt.rzi.s32.f32 %r9, %f1;", kAwkwardFloats,
               [&](uint32_t a, uint32_t) { return U(static_cast<int64_t>(clamped(std::trunc(F(a)), -2147483648.0, 2147483647.0))); });
  ExpectForAll("cvt.rni.s32.f32 %r9, %f1;", kAwkwardFloats,
               [&](uint32_t a, uint32_t) { return U(static_cast<int64_t>(clamped(std::rint(F(a)), -2147483648.0, 2147483647.0))); });
  ExpectForAll("cvt.rzi.u32.f32 %r9, %f1;", kAwkwardFloats,
               [&](uint32_t a, uint32_t) { return U(static_cast<int64_t>(clamped(std::trunc(F(a)), 0, 4294967295.0))); });
  ExpectForAll("cvt.rmi.s32.f32 %r9, %f1;", kAwkwardFloats,
               [&](uint32_t a, uint32_t) { return U(static_cast<int64_t>(clamped(std::floor(F(a)), -2147483648.0, 2147483647.0))); });
  ExpectForAll("cvt.rn.f32.u32 %f9, %r1; mov.b32 %r9, %f9;", kAwkward, [](uint32_t a, uint32_t) { return B(static_cast<float>(a)); });
  ExpectForAll("cvt.rn.f32.s32 %f9, %r1; mov.b32 %r9, %f9;", kAwkward, [](uint32_t a, uint32_t) { return B(static_cast<float>(S(a))); });
  ExpectForAll("cvt.u16.u32 %rs1, %r1; cvt.rn.f32.u16 %f9, %rs1; mov.b32 %r9, %f9;", kAwkward,
               [](uint32_t a, uint32_t) { return B(static_cast<float>(a & 0xffff)); });
}

TEST(Instructions, RoundHalvesToNearestEven) {
  // All halves there and back, and what lies between two of them.
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const float exact = HalfToFloat(static_cast<uint16_t>(bits)), next = HalfToFloat(static_cast<uint16_t>(bits + 1));
    ASSERT_EQ(FloatToHalf(exact), bits);
    ASSERT_EQ(FloatToHalf(-exact), bits | 0x8000);
    if (bits + 1 == 0x7c00) continue;
    const float middle = exact + (next - exact) / 2;
    ASSERT_EQ(FloatToHalf(middle), bits % 2 == 0 ? bits : bits + 1) << bits;
    ASSERT_EQ(FloatToHalf(std::nextafter(middle, 0.0f)), bits) << bits;
    ASSERT_EQ(FloatToHalf(std::nextafter(middle, 1e9f)), bits + 1) << bits;
  }
  EXPECT_EQ(HalfToFloat(0x3c00), 1.0f);
  EXPECT_EQ(HalfToFloat(0x0001), 0x1p-24f);
  EXPECT_EQ(HalfToFloat(0x7bff), 65504.0f);
  EXPECT_EQ(FloatToHalf(65519.9f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);
  EXPECT_TRUE(std::isnan(HalfToFloat(0x7e00)));
  ExpectForAll("cvt.rn.f16.f32 %rs1, %f1; cvt.u32.u16 %r9, %rs1;", {B(1.0f), B(-2.0f), B(65520.0f)}, [](uint32_t a, uint32_t) {
    return F(a) == 1.0f ? 0x3c00 : F(a) == -2.0f ? 0xc000 : 0x7c00;
  });
}

TEST(Instructions, RoundAFusedProductDown) {
  const auto down = [](float a, float b, float c) {  // in 80 bits, which hold product and sum of such values exactly
    const long double exact = static_cast<long double>(a) * b + c;
    auto result = static_cast<float>(exact);
    return result > exact ? std::nextafter(result, -INFINITY) : result;
  };
  const std::vector<uint32_t> values = {B(1.0f), B(1.0000001f), B(0.3333333f), B(-0.3333333f), B(3.5f), B(1e3f), B(-7.1f), B(1.9999999f)};
  ExpectForAll("fma.rm.f32 %f9, %f1, %f2, 0f3E4CCCCD; mov.b32 %r9, %f9;", values,
               [&](uint32_t a, uint32_t b) { return B(down(F(a), F(b), 0.2f)); });
}

TEST(Instructions, ExtendWhatIsLoadedIntoLargerRegisters) {
  TestMachine machine;
  const uint64_t from = machine.Put<uint8_t>({0x80, 0x7f, 0xff, 0x01}), to = machine.Room(32);
  const std::string text = KernelOf(
      "ld.global.s8 %r1, [%rd11];\nld.global.u8 %r2, [%rd11];\nld.global.s16 %rd5, [%rd11+2];\nld.global.nc.v2.u8 {%rs1, %rs2}, "
      "[%rd11+2];\n"
      "st.global.u32 [%rd12], %r1;\nst.global.u32 [%rd12+4], %r2;\nst.global.u64 [%rd12+8], %rd5;\nst.global.v2.u16 [%rd12+16], {%rs1, "
      "%rs2};\n"
      "st.global.u8 [%rd12+20], %r1;");
  ASSERT_EQ(machine.Run(text, {1, 1, 1}, {from, to, 0}), 0);
  EXPECT_EQ(machine.Get<int32_t>(to, 2), (std::vector<int32_t>{-128, 128}));
  EXPECT_EQ(machine.Get<int64_t>(to + 8, 1)[0], 0x01ff);
  EXPECT_EQ(machine.Get<uint16_t>(to + 16, 2), (std::vector<uint16_t>{0xff, 0x01}));
  EXPECT_EQ(machine.Get<uint8_t>(to + 20, 1)[0], 0x80);
}

TEST(Instructions, ReadTablesAndLocalMemory) {
  TestMachine machine;
  const uint64_t to = machine.Room(128);
  const std::string text = KernelOf(
      ".local .align 8 .b8 depot[16];\nmov.u64 %rd5, depot;\ncvta.local.u64 %rd6, %rd5;\nadd.s32 %r1, %r0, 100;\nst.u32 [%rd6+4], %r1;\n"
      "ld.local.u32 %r2, [depot+4];\nand.b32 %r3, %r0, 3;\nmul.wide.u32 %rd7, %r3, 4;\nmov.u64 %rd8, table;\nadd.s64 %rd8, %rd8, %rd7;\n"
      "ld.const.u32 %r4, [%rd8];\nadd.s32 %r5, %r2, %r4;\nst.global.u32 [%rd1], %r5;",
      ".const .align 4 .u32 table[4] = {10, 20, 30, 40};\n");
  ASSERT_EQ(machine.Run(text, {32, 1, 1}, {to, 0, 0}), 0);
  const std::vector<uint32_t> result = machine.Get<uint32_t>(to, 32);
  for (uint32_t i = 0; i < 32; ++i) EXPECT_EQ(result[i], i + 100 + 10 * (i % 4 + 1));
}

TEST(Instructions, ThatAreNotKnownAreNamed) {
  for (const auto& [body, word] : std::initializer_list<std::pair<const char*, const char*>>{
           {"tanh.approx.f32 %f1, %f2;", "tanh.approx.f32"},
           {"add.s32 %r1, %r2;", "takes 3 operands"},
           {"add.s32 %r1, %r2, %rd1;", "another size"},
           {"add.s32 %r1, %r2, %r999;", "%r999"},
           {"ld.global.v8.u32 %r1, [%rd1];", "v8"},
           {"bra nowhere;", "nowhere"},
           {"st.global.u32 [%r1], %r2;", "too small for an address"},
           {"ld.param.u64 %rd1, [z];", "'z'"},
           {"ld %r1, [%rd1];", "its type is missing"},
           {"red.global.add.f64 [%rd1], %rd2;", "this operation on this type"},
           {"cvt.rn.f16.f32 %r1, %f1;", "only whole numbers are widened"},
           {".reg .b8 %b1;", "registers of 8"},
           {"mov.u32 %r1, 5q;", "5q"},
           {"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%r1}, {%r1}, {%r1}, {%r1};", "not known"}}) {
    const Result<std::unique_ptr<Module>> module = LoadModule(KernelOf(body));
    ASSERT_FALSE(module) << body;
    EXPECT_THAT(module.error().message, testing::HasSubstr(word));
    EXPECT_THAT(module.error().message, testing::HasSubstr("line 1")) << "the line is told";
  }
  EXPECT_FALSE(LoadModule(KernelOf("ret;", ".const .align 4 .f32 table[2] = {0.5, 1.5};\n"))) << "a half is no whole number";
  EXPECT_FALSE(LoadModule(""));
  EXPECT_FALSE(LoadModule("no PTX"));
  EXPECT_FALSE(LoadModule(KernelOf("/*")));
  const std::string whole = KernelOf("add.s32 %r1, %r2, 5;");
  for (size_t length = 0; length < whole.size() - 3; ++length) EXPECT_FALSE(LoadModule(whole.substr(0, length))) << length;
}

}  // namespace
}  // namespace lathe::ptx
