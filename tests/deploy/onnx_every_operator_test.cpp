// Every operator that libonnx knows, with inputs and attributes that make no sense together: its shape rules are somebody else's code, and
// what a broken model hands them must not end the program.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <onnx/defs/schema.h>

#include <cstdlib>

#include "deploy/onnx_infer.h"
#include "onnx_mutate.h"

namespace lathe {
namespace {

using graph::Attribute;

Attribute Senseless(onnx::AttributeProto::AttributeType type, Random& random) {
  using Kind = Attribute::Kind;
  Attribute attribute;
  const size_t size = Below(random, 5);
  switch (type) {
    case onnx::AttributeProto::INT:
      attribute.kind = Kind::kInt;
      attribute.ints = {TellingNumber(random)};
      break;
    case onnx::AttributeProto::FLOAT:
      attribute.kind = Kind::kReal;
      attribute.reals = {0.5};
      break;
    case onnx::AttributeProto::STRING: {
      static const char* const kTexts[] = {"", "SAME_UPPER", "linear", "ij,jk->ik", "forward", "bidirectional", "...i->i"};
      attribute.kind = Kind::kText;
      attribute.texts = {kTexts[Below(random, std::size(kTexts))]};
      break;
    }
    case onnx::AttributeProto::INTS:
      attribute.kind = Kind::kInts;
      for (size_t i = 0; i < size; ++i) attribute.ints.push_back(TellingNumber(random));
      break;
    case onnx::AttributeProto::FLOATS:
      attribute.kind = Kind::kReals;
      attribute.reals.assign(size, 1.5);
      break;
    case onnx::AttributeProto::STRINGS:
      attribute.kind = Kind::kTexts;
      attribute.texts.assign(size, "a");
      break;
    case onnx::AttributeProto::TENSOR:
      attribute.kind = Kind::kTensor;
      attribute.tensor_type = graph::kInt64;
      attribute.tensor_dims = {TellingNumber(random) & 3};
      break;
    case onnx::AttributeProto::GRAPH:
      attribute.kind = Kind::kGraph;
      attribute.graph = std::make_shared<graph::Graph>();
      break;
    default:
      break;
  }
  return attribute;
}

graph::Initializer SmallConstant(const std::string& name, Random& random) {
  graph::Initializer constant;
  constant.name = name;
  constant.type = Below(random, 4) ? graph::kInt64 : graph::kFloat;
  const size_t rank = Below(random, 3), length = Below(random, 5);
  constant.dims.assign(rank, static_cast<int64_t>(length));
  graph::SmallTensor value{constant.type, constant.dims, {}};
  for (int64_t i = 0; i < *graph::ElementCount(constant.dims); ++i) value.elements.push_back({true, TellingNumber(random), 1.5, -1});
  constant.value = std::move(value);
  return constant;
}

graph::DeclaredValue Image(const std::string& name, Random& random) {
  graph::DeclaredValue input;
  input.name = name;
  constexpr int kTypes[] = {graph::kFloat, graph::kFloat, graph::kInt64, graph::kUint8, graph::kBool, graph::kUndefined, graph::kString};
  input.type = kTypes[Below(random, std::size(kTypes))];
  if (Below(random, 8) == 0) return input;
  input.shape.emplace();
  for (size_t rank = Below(random, 6); rank > 0; --rank) input.shape->push_back({static_cast<int64_t>(Below(random, 6)) - 1, ""});
  return input;
}

TEST(EveryOperator, SurvivesSenselessNodes) {
  const char *rounds_text = std::getenv("LATHE_FUZZ_ROUNDS"), *seed_text = std::getenv("LATHE_FUZZ_SEED");
  const int rounds = rounds_text ? std::atoi(rounds_text) : 20000;
  Random random(seed_text ? static_cast<uint64_t>(std::atoll(seed_text)) : 1);
  const std::vector<onnx::OpSchema> schemas = onnx::OpSchemaRegistry::get_all_schemas();
  ASSERT_GT(schemas.size(), 150u);
  int inferred = 0;
  for (int round = 0; round < rounds; ++round) {
    const onnx::OpSchema& schema = schemas[static_cast<size_t>(round) % schemas.size()];
    if (schema.Name() == "If") continue;  // has no rule here: its branches are walked
    graph::Model model;
    model.opsets = {{"", 7 + static_cast<int64_t>(Below(random, 11))}, {schema.domain(), schema.since_version()}};
    graph::Node node;
    node.name = node.op = schema.Name();
    node.domain = schema.domain();
    const size_t most = std::min<size_t>(static_cast<size_t>(schema.max_input()), 8);
    const size_t inputs = Below(random, 6)
                              ? static_cast<size_t>(schema.min_input()) + Below(random, most - static_cast<size_t>(schema.min_input()) + 1)
                              : Below(random, 5);
    for (size_t i = 0; i < inputs; ++i) {
      const std::string name = fmt::format("x{}", i);
      if (Below(random, 10) == 0) {
        node.inputs.emplace_back();
      } else if (i > 0 && Below(random, 2)) {
        model.graph.initializers.push_back(SmallConstant(name, random));
        node.inputs.push_back(name);
      } else {
        model.graph.inputs.push_back(Image(name, random));
        node.inputs.push_back(name);
      }
    }
    for (const auto& [name, attribute] : schema.attributes())
      if (attribute.required ? Below(random, 20) > 0 : Below(random, 3) == 0) node.attributes[name] = Senseless(attribute.type, random);
    const size_t outputs = static_cast<size_t>(schema.min_output()) + Below(random, 2);
    for (size_t i = 0; i < outputs; ++i) node.outputs.push_back(fmt::format("y{}", i));
    if (std::getenv("LATHE_FUZZ_TRACE")) fprintf(stderr, "%d %s\n", round, schema.Name().c_str());
    model.graph.nodes.push_back(node);
    Result<graph::EvaluatedGraph> graph = graph::Evaluate(std::move(model), {});
    if (!graph) {
      EXPECT_FALSE(graph.error().message.empty());
      continue;
    }
    for (const graph::GraphValue& value : graph->values) {
      if (value.name[0] == 'x') continue;
      inferred += value.known.shape.has_value();
      EXPECT_TRUE(value.known.shape || !value.known.why_unknown.empty()) << schema.Name();
    }
  }
  EXPECT_GT(inferred, rounds / 20);
}

}  // namespace
}  // namespace lathe
