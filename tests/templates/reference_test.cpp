// Holds every operator's reference to results of independent implementations: templates/OPERATOR/data/*.json, made by make_fixtures/.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "codegen/candidate_source.h"
#include "core/file.h"
#include "tests/templates/loaded_kernel.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

const TemplateLibrary& Library() {
  static const Result<TemplateLibrary> library = TemplateLibrary::Load(LATHE_SOURCE_DIR "/templates");
  if (!library) ADD_FAILURE() << library.error().message;
  return library.value();
}

std::vector<fs::path> Fixtures() {
  std::vector<fs::path> fixtures;
  for (const Operator* op : Library().operators())
    if (fs::exists(op->dir() / "data"))
      for (const auto& entry : fs::directory_iterator(op->dir() / "data"))
        if (entry.path().extension() == ".json") fixtures.push_back(entry.path());
  std::sort(fixtures.begin(), fixtures.end());
  return fixtures;
}

class Reference : public ::testing::TestWithParam<fs::path> {};

TEST_P(Reference, AgreesWithAnIndependentImplementation) {
  Result<std::string> text = ReadFile(GetParam());
  ASSERT_TRUE(text) << text.error().message;
  const nlohmann::json fixture = nlohmann::json::parse(*text, nullptr, true, true);
  Result<Workload> workload = ParseWorkload(fixture["workload"]);
  ASSERT_TRUE(workload) << workload.error().message;
  Result<const Operator*> op = Library().FindOperator(workload->operator_name);
  ASSERT_TRUE(op) << op.error().message;
  workload = (*op)->Normalise(*workload);
  ASSERT_TRUE(workload) << workload.error().message;

  Result<std::string> source = ReferenceSource(Library(), *workload);
  ASSERT_TRUE(source) << source.error().message;
  Result<testing::LoadedKernel> reference = testing::LoadedKernel::Build(*source);
  ASSERT_TRUE(reference) << reference.error().message;

  const std::vector<TensorShape> shapes = *(*op)->Tensors(*workload);
  std::vector<testing::Tensor> tensors;
  for (const TensorShape& shape : shapes) {
    testing::Tensor tensor(shape.present ? shape.bytes() : 0);
    if (shape.present && shape.role != TensorRole::kOut) {
      Result<std::string> bytes = ReadFile(GetParam().parent_path() / fixture["tensors"][shape.name].get<std::string>());
      ASSERT_TRUE(bytes) << bytes.error().message;
      ASSERT_EQ(bytes->size(), shape.bytes()) << shape.name;
      tensor.assign(bytes->begin(), bytes->end());
    }
    tensors.push_back(std::move(tensor));
  }
  ASSERT_EQ(reference->Run(tensors, testing::DynamicValues(**op, *workload)), 0);
  int compared = 0;
  for (size_t i = 0; i < shapes.size(); ++i) {
    if (shapes[i].role != TensorRole::kOut || !fixture["tensors"].contains(shapes[i].name)) continue;
    Result<std::string> bytes = ReadFile(GetParam().parent_path() / fixture["tensors"][shapes[i].name].get<std::string>());
    ASSERT_TRUE(bytes) << bytes.error().message;
    const testing::Tensor expected(bytes->begin(), bytes->end());
    ASSERT_EQ(expected.size(), shapes[i].bytes()) << shapes[i].name;
    EXPECT_EQ(testing::Disagreement(shapes[i], expected, tensors[i]), "") << "against " << fixture["source"];
    ++compared;
  }
  EXPECT_GT(compared, 0) << "the fixture holds no output";
}

INSTANTIATE_TEST_SUITE_P(Data, Reference, ::testing::ValuesIn(Fixtures()), [](const auto& instance) {
  std::string name = instance.param.parent_path().parent_path().filename().string() + '_' + instance.param.stem().string();
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Reference);

}  // namespace
}  // namespace lathe
