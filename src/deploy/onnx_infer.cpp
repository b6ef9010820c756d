#include "deploy/onnx_infer.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "deploy/onnx_order.h"

namespace lathe::graph {
namespace {

// Functions that call functions multiply; no real network comes near.
constexpr size_t kMostEvaluatedNodes = 500'000;
constexpr int kDeepestNesting = 64;

struct Scope {
  const Scope* around = nullptr;
  std::unordered_map<std::string, int> values;

  std::optional<int> Find(const std::string& name) const {
    for (const Scope* scope = this; scope; scope = scope->around)
      if (const auto found = scope->values.find(name); found != scope->values.end()) return found->second;
    return std::nullopt;
  }
};

// What holds for the nodes of one graph or function.
struct Surroundings {
  const std::map<std::string, int64_t>& opsets;
  std::string within;
  int depth = 0;
};

class Evaluator {
 public:
  Evaluator(Model model, const ShapeOverrides& overrides) : overrides_(overrides) {
    graph_.model = std::make_shared<const Model>(std::move(model));
    graph_.instances = std::make_shared<std::deque<Node>>();
    for (const Function& function : graph_.model->functions) functions_[{function.domain, function.name}] = &function;
  }

  Result<EvaluatedGraph> Run() {
    const Graph& graph = graph_.model->graph;
    if (Status fine = CheckOverrides(graph); !fine) return fine.error();
    Scope scope;
    AddInitializers(graph, scope);
    for (const DeclaredValue& input : graph.inputs) {
      if (scope.values.contains(input.name)) continue;  // an initializer is the input's default
      Known known = FromDeclaration(input);
      known.why_unknown = fmt::format("the graph's input '{0}' has no shape; give it with --shape {0}=1x3x…", input.name);
      scope.values[input.name] = Add(input.name, std::move(known));
    }
    NoteDeclarations(graph);
    if (Status walked = Walk(graph.nodes, scope, {graph_.model->opsets, "", 0}); !walked) return walked.error();
    for (const DeclaredValue& output : graph.outputs) {
      const std::optional<int> value = scope.Find(output.name);
      if (!value) return Bad(fmt::format("nothing makes the graph's output '{}'", output.name));
      graph_.values[static_cast<size_t>(*value)].leaves = true;
    }
    return std::move(graph_);
  }

 private:
  static Error Bad(const std::string& what) { return {ErrorCode::kInvalidInput, what}; }

  GraphValue& At(int value) { return graph_.values[static_cast<size_t>(value)]; }

  int Add(const std::string& name, Known known) {
    GraphValue value;
    value.name = name;
    value.known = std::move(known);
    graph_.values.push_back(std::move(value));
    return static_cast<int>(graph_.values.size()) - 1;
  }

  Status CheckOverrides(const Graph& graph) {
    std::map<std::string, const DeclaredValue*> declared;
    std::vector<std::string> inputs;
    for (const DeclaredValue& input : graph.inputs) {
      declared[input.name] = &input;
      if (inputs.size() < 8) inputs.push_back("'" + input.name + "'");
    }
    for (const auto& [name, dims] : overrides_) {
      for (int64_t dim : dims)
        if (dim < 0) return Bad(fmt::format("the given shape of '{}' has a dimension of {}", name, dim));
      if (const auto input = declared.find(name); input != declared.end()) {
        const auto& shape = input->second->shape;
        if (shape && shape->size() != dims.size())
          return Bad(
              fmt::format("the given shape of '{}' has {} dimensions where the graph declares {}", name, dims.size(), shape->size()));
        for (size_t d = 0; shape && d < dims.size(); ++d) reshaped_ |= (*shape)[d].size >= 0 && (*shape)[d].size != dims[d];
        continue;
      }
      bool known = false;
      for (const DeclaredValue& input : graph.inputs)
        for (const DeclaredDim& dim : input.shape.value_or(std::vector<DeclaredDim>{})) known |= dim.name == name && dims.size() == 1;
      for (const Node& node : graph.nodes) known |= std::find(node.outputs.begin(), node.outputs.end(), name) != node.outputs.end();
      if (!known)
        return Bad(fmt::format("a shape is given for '{}', but the graph has no such value or dimension; its inputs are {}", name,
                               fmt::join(inputs, ", ")));
    }
    return {};
  }

  void AddInitializers(const Graph& graph, Scope& scope) {
    for (const Initializer& initializer : graph.initializers) {
      Known known;
      known.type = initializer.type;
      known.shape = ToShape(initializer.dims);
      known.value = initializer.value;
      scope.values[initializer.name] = Add(initializer.name, std::move(known));
      At(scope.values[initializer.name]).constant = true;
      if (!initializer.why_no_value.empty()) unread_[scope.values[initializer.name]] = initializer.why_no_value;
    }
  }

  Dim FromDeclaration(const DeclaredDim& dim, const std::string& value) {
    if (dim.size >= 0) return {dim.size, -1};
    if (dim.name.empty()) {
      const std::string reason = fmt::format("a dimension of '{0}' is open; give its shape with --shape {0}=…", value);
      return {-1, graph_.symbols.New(reason)};
    }
    if (const auto given = overrides_.find(dim.name); given != overrides_.end() && given->second.size() == 1) return {given->second[0], -1};
    const auto [found, fresh] = named_symbols_.try_emplace(dim.name, 0);
    if (fresh)
      found->second =
          graph_.symbols.New(fmt::format("dimension '{0}' of '{1}' is open; give it with --shape {0}=…", dim.name, value), {}, dim.name);
    return {-1, found->second};
  }

  Known FromDeclaration(const DeclaredValue& value) {
    Known known;
    known.type = value.type;
    if (const auto given = overrides_.find(value.name); given != overrides_.end()) {
      known.shape = ToShape(given->second);
    } else if (value.shape) {
      known.shape.emplace();
      for (const DeclaredDim& dim : *value.shape) known.shape->push_back(FromDeclaration(dim, value.name));
    }
    return known;
  }

  // What the exporter wrote down about values in between; no longer true once an input has another size.
  void NoteDeclarations(const Graph& graph) {
    if (reshaped_) return;
    for (const auto* list : {&graph.declared, &graph.outputs})
      for (const DeclaredValue& value : *list)
        if (value.is_tensor) declared_.try_emplace(value.name, &value);
  }

  Status Walk(const std::vector<Node>& nodes, Scope& scope, const Surroundings& around) {
    if (around.depth > kDeepestNesting) return Bad(fmt::format("its bodies and functions nest deeper than {}", kDeepestNesting));
    Result<std::vector<size_t>> order = ComputingOrder(nodes);
    if (!order) return order.error();
    for (size_t i : *order)
      if (Status done = Visit(nodes[i], scope, around); !done) return done.error();
    return {};
  }

  Status Visit(const Node& node, Scope& scope, const Surroundings& around) {
    if (graph_.nodes.size() >= kMostEvaluatedNodes) return Bad(fmt::format("it unfolds to more than {} nodes", kMostEvaluatedNodes));
    std::vector<int> inputs;
    for (const std::string& name : node.inputs) {
      const std::optional<int> value = name.empty() ? std::optional(-1) : scope.Find(name);
      if (!value) return Bad(fmt::format("node '{}' ({}) reads '{}', which nothing makes", node.name, node.op, name));
      inputs.push_back(*value);
    }
    if (const auto function = functions_.find({node.domain, node.op}); function != functions_.end())
      return Call(node, *function->second, inputs, scope, around);
    if (node.op == "If" && node.domain.empty() && !inputs.empty() && inputs[0] >= 0) return Choose(node, inputs, scope, around);

    // Another name for the same value: what is fused is seen through it.
    if (node.op == "Identity" && node.domain.empty() && inputs.size() == 1 && inputs[0] >= 0 && node.outputs.size() == 1 &&
        !overrides_.contains(node.outputs[0])) {
      scope.values[node.outputs[0]] = inputs[0];
      return {};
    }

    const auto opset = around.opsets.find(node.domain);
    EvaluatedNode evaluated{&node, opset == around.opsets.end() ? 1 : opset->second, inputs, {}, false, around.within};
    NodeContext context{node, evaluated.opset, {}, graph_.symbols};
    for (int input : inputs) context.inputs.push_back(input < 0 ? nullptr : &At(input).known);
    std::vector<Known> outputs = Infer(context, inputs);
    evaluated.folded = !outputs.empty();
    const bool constant = !node.op.starts_with("Random") &&
                          std::all_of(inputs.begin(), inputs.end(), [&](int input) { return input < 0 || At(input).constant; });
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i].empty()) {
        evaluated.outputs.push_back(-1);
        continue;
      }
      const Known& known = outputs[i];
      evaluated.folded &=
          known.value && std::all_of(known.value->elements.begin(), known.value->elements.end(), [](const Scalar& e) { return e.known; });
      evaluated.outputs.push_back(Add(node.outputs[i], known));
      At(evaluated.outputs.back()).constant = constant;
      scope.values[node.outputs[i]] = evaluated.outputs.back();
    }
    Enter(std::move(evaluated));
    return Bodies(node, scope, around);
  }

  void Enter(EvaluatedNode evaluated) {
    for (int input : evaluated.inputs)
      if (input >= 0) At(input).readers.push_back(static_cast<int>(graph_.nodes.size()));
    graph_.nodes.push_back(std::move(evaluated));
  }

  // One Known for each of the node's outputs, every open dimension a symbol that says why.
  std::vector<Known> Infer(const NodeContext& context, const std::vector<int>& inputs) {
    std::string trouble;
    Outputs outputs = FoldNode(context);
    if (!outputs) outputs = InferByRule(context);
    if (!outputs) outputs = InferOpen(context);
    if (!outputs) {
      Result<Outputs> slid = InferWindow(context);
      if (slid)
        outputs = *std::move(slid);
      else
        trouble = slid.error().message;
    }
    if (!outputs && trouble.empty()) {
      Result<std::vector<Known>> inferred = InferByLibrary(context);
      if (inferred)
        outputs = *std::move(inferred);
      else
        trouble = inferred.error().message;
    }
    if (!outputs) outputs.emplace();
    outputs->resize(context.node.outputs.size());
    for (size_t i = 0; i < outputs->size(); ++i) Complete((*outputs)[i], context, inputs, context.node.outputs[i], trouble);
    return *std::move(outputs);
  }

  void Complete(Known& known, const NodeContext& context, const std::vector<int>& inputs, const std::string& name,
                const std::string& trouble) {
    if (const auto given = overrides_.find(name); given != overrides_.end() && !known.value) known.shape = ToShape(given->second);
    if (const auto declaration = declared_.find(name); declaration != declared_.end()) {
      const Known declared = FromDeclaration(*declaration->second);
      if (known.type == kUndefined) known.type = declared.type;
      if (!known.shape && declared.shape) known.shape = declared.shape;
      if (known.shape && declared.shape && declared.shape->size() == known.shape->size())
        for (size_t d = 0; d < known.shape->size(); ++d)
          if (!(*known.shape)[d].known() && (*declared.shape)[d].known()) (*known.shape)[d] = (*declared.shape)[d];
    }
    if (!known.shape) {
      known.why_unknown = WhyUnknown(context, inputs, trouble);
      return;
    }
    for (size_t d = 0; d < known.shape->size(); ++d)
      if (Dim& dim = (*known.shape)[d]; !dim.known() && dim.symbol < 0) dim.symbol = graph_.symbols.New(WhyOpen(context, inputs, d));
  }

  std::string WhyUnknown(const NodeContext& context, const std::vector<int>& inputs, const std::string& trouble) {
    for (const Known* input : context.inputs)
      if (input && !input->shape && !input->why_unknown.empty()) return input->why_unknown;
    const std::string self = fmt::format("no shape can be found for '{}' ({})", context.node.name, context.node.op);
    for (int input : inputs)
      if (const auto unread = unread_.find(input); unread != unread_.end())
        return fmt::format("{}: the value of '{}' is not known, {}", self, At(input).name, unread->second);
    return trouble.empty() ? self + ", whose size depends on data" : self + ": " + trouble;
  }

  // Most likely the same dimension of an input is open, else some other.
  std::string WhyOpen(const NodeContext& context, const std::vector<int>& inputs, size_t d) {
    for (const Known* input : context.inputs)
      if (input && input->shape && d < input->shape->size() && !(*input->shape)[d].known() && (*input->shape)[d].symbol >= 0)
        return graph_.symbols[(*input->shape)[d].symbol].reason;
    for (const Known* input : context.inputs)
      for (const Dim& dim : input && input->shape ? *input->shape : Shape{})
        if (!dim.known() && dim.symbol >= 0) return graph_.symbols[dim.symbol].reason;
    return WhyUnknown(context, inputs, "");
  }

  // Subgraphs of anything but If: what happens in there cannot be followed, but its nodes are seen.
  Status Bodies(const Node& node, Scope& scope, const Surroundings& around) {
    for (const auto& [name, attribute] : node.attributes) {
      if (!attribute.graph) continue;
      Surroundings inside{around.opsets, fmt::format("the body of {} '{}'", node.op, node.name), around.depth + 1};
      Result<std::vector<int>> outputs = Body(*attribute.graph, scope, inside);
      if (!outputs) return outputs.error();
      for (int output : *outputs) At(output).leaves = true;
    }
    return {};
  }

  Result<std::vector<int>> Body(const Graph& body, const Scope& scope, const Surroundings& inside) {
    Scope inner{&scope, {}};
    AddInitializers(body, inner);
    for (const DeclaredValue& input : body.inputs) {
      Known known = FromDeclaration(input);
      known.why_unknown = fmt::format("it depends on '{}', which {} computes anew each time", input.name, inside.within);
      inner.values[input.name] = Add(input.name, std::move(known));
    }
    if (Status walked = Walk(body.nodes, inner, inside); !walked) return walked.error();
    std::vector<int> outputs;
    for (const DeclaredValue& output : body.outputs) {
      const std::optional<int> value = inner.Find(output.name);
      if (!value) return Bad(fmt::format("nothing makes '{}', an output of {}", output.name, inside.within));
      outputs.push_back(*value);
    }
    return outputs;
  }

  Status Choose(const Node& node, const std::vector<int>& inputs, Scope& scope, const Surroundings& around) {
    const std::optional<SmallTensor> condition = At(inputs[0]).known.value;  // a copy: values move as they grow
    const bool decided = condition && condition->elements.size() == 1 && condition->elements[0].known;
    std::vector<std::vector<int>> outcomes;
    for (const bool truth : {true, false}) {
      const char* name = truth ? "then_branch" : "else_branch";
      const Attribute* branch = node.Find(name);
      if (!branch || !branch->graph) return Bad(fmt::format("node '{}' (If) has no {}", node.name, name));
      if (decided && truth != (condition->elements[0].integer != 0)) continue;
      Surroundings inside{around.opsets, decided ? around.within : fmt::format("the {} of If '{}'", name, node.name), around.depth + 1};
      Result<std::vector<int>> outputs = Body(*branch->graph, scope, inside);
      if (!outputs) return outputs.error();
      if (outputs->size() < node.outputs.size()) return Bad(fmt::format("the {} of If '{}' has too few outputs", name, node.name));
      outcomes.push_back(*std::move(outputs));
    }
    EvaluatedNode evaluated{&node, 0, inputs, {}, decided, around.within};
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      int value = outcomes[0][i];
      if (!decided) {
        At(outcomes[0][i]).leaves = At(outcomes[1][i]).leaves = true;
        value = Add(node.outputs[i], Either(node, At(outcomes[0][i]).known, At(outcomes[1][i]).known));
      }
      scope.values[node.outputs[i]] = value;
      evaluated.outputs.push_back(value);
    }
    Enter(std::move(evaluated));
    return {};
  }

  Known Either(const Node& node, const Known& one, const Known& other) {
    Known known;
    known.type = one.type;
    known.why_unknown = fmt::format("it depends on which branch '{}' (If) takes", node.name);
    if (!one.shape || !other.shape || one.shape->size() != other.shape->size()) return known;
    known.shape = one.shape;
    for (size_t d = 0; d < one.shape->size(); ++d) {
      const Dim &a = (*one.shape)[d], &b = (*other.shape)[d];
      if (a.size != b.size || a.symbol != b.symbol) (*known.shape)[d] = {-1, graph_.symbols.New(known.why_unknown)};
    }
    return known;
  }

  Status Call(const Node& node, const Function& function, const std::vector<int>& inputs, Scope& scope, const Surroundings& around) {
    Scope inner;
    for (size_t i = 0; i < function.inputs.size(); ++i)
      if (i < inputs.size() && inputs[i] >= 0) {
        inner.values[function.inputs[i]] = inputs[i];
      } else {
        inner.values[function.inputs[i]] = -1;  // left out by the caller
      }
    std::vector<Node> body;
    for (const Node& original : function.nodes) {
      Node instance = original;
      instance.name = node.name + "/" + original.name;
      for (auto attribute = instance.attributes.begin(); attribute != instance.attributes.end();) {
        const std::string& parameter = attribute->second.refers_to;
        if (parameter.empty()) {
          ++attribute;
        } else if (const Attribute* given = node.Find(parameter)) {
          (attribute++)->second = *given;
        } else {
          attribute = instance.attributes.erase(attribute);
        }
      }
      body.push_back(std::move(instance));
    }
    Result<std::vector<size_t>> order = ComputingOrder(body);
    if (!order) return order.error().In(fmt::format("function '{}'", function.name));
    const Surroundings inside{function.opsets.empty() ? around.opsets : function.opsets, around.within, around.depth + 1};
    if (inside.depth > kDeepestNesting) return Bad(fmt::format("its functions call each other deeper than {}", kDeepestNesting));
    for (size_t i : *order) {
      graph_.instances->push_back(body[i]);  // a deque: addresses stay
      if (Status done = Visit(graph_.instances->back(), inner, inside); !done)
        return done.error().In(fmt::format("function '{}'", function.name));
    }
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i].empty()) continue;
      const std::optional<int> value = i < function.outputs.size() ? inner.Find(function.outputs[i]) : std::nullopt;
      if (!value || *value < 0) return Bad(fmt::format("function '{}' does not make output {} of '{}'", function.name, i, node.name));
      scope.values[node.outputs[i]] = *value;
    }
    return {};
  }

  const ShapeOverrides& overrides_;
  bool reshaped_ = false;  // an override contradicts a declared size
  EvaluatedGraph graph_;
  std::map<std::pair<std::string, std::string>, const Function*> functions_;
  std::map<std::string, int> named_symbols_;
  std::map<std::string, const DeclaredValue*> declared_;
  std::map<int, std::string> unread_;  // values of small tensors that could not be read, and why
};

}  // namespace

Result<EvaluatedGraph> Evaluate(Model model, const ShapeOverrides& overrides) { return Evaluator(std::move(model), overrides).Run(); }

}  // namespace lathe::graph
