// Shapes of everything that slides a window over an image: convolutions, pooling, and their transposes.
//
// libonnx has rules for these; ours exist because its 1.12 divides by strides of zero, reads lists past their end and knows no dilated
// mean, so a broken model would end the program; and because ours say what does not fit.
#include <fmt/format.h>

#include <algorithm>

#include "deploy/onnx_rules.h"

namespace lathe::graph {
namespace {

using Ints = std::vector<int64_t>;

// Beyond any image; keeps every product below within 64 bits.
constexpr int64_t kLargest = int64_t{1} << 30;

Error Bad(const std::string& why) { return {ErrorCode::kInvalidInput, why}; }

struct Window {
  Ints kernel, strides, dilations, pads;  // pads: all beginnings, then all ends
  std::string auto_pad;
};

Result<Ints> List(const Node& node, const char* name, size_t size, int64_t otherwise, int64_t least) {
  if (node.Find(name) && !node.Ints(name)) return Bad(fmt::format("{} is no list of integers", name));
  Ints list = node.Ints(name).value_or(Ints(size, otherwise));
  if (list.size() != size) return Bad(fmt::format("{} has {} elements where {} are needed", name, list.size(), size));
  for (int64_t element : list)
    if (element < least || element > kLargest) return Bad(fmt::format("{} has {} among its values", name, element));
  return list;
}

Result<Window> ReadWindow(const Node& node, const std::optional<Ints>& from_weight, size_t spatial) {
  Window window;
  if (!from_weight && !node.Find("kernel_shape")) return Bad("the size of its window is unknown");
  Result<Ints> kernel = node.Find("kernel_shape") ? List(node, "kernel_shape", spatial, 1, 1) : Result<Ints>(*from_weight);
  Result<Ints> strides = List(node, "strides", spatial, 1, 1), dilations = List(node, "dilations", spatial, 1, 1);
  Result<Ints> pads = List(node, "pads", 2 * spatial, 0, -kLargest);
  for (Result<Ints>* list : {&kernel, &strides, &dilations, &pads})
    if (!*list) return list->error();
  for (int64_t element : *kernel)
    if (element < 1 || element > kLargest) return Bad(fmt::format("its window is {} wide", element));
  return Window{*kernel, *strides, *dilations, *pads, node.Text("auto_pad", "NOTSET")};
}

Result<Dim> Slide(const Window& window, size_t d, size_t spatial, const Dim& in, bool round_up, Symbols& symbols) {
  if (!in.known()) {
    const bool same_size = window.strides[d] == 1 && window.auto_pad.starts_with("SAME");
    return same_size ? in : Dim{-1, symbols.New(in.symbol >= 0 ? symbols[in.symbol].reason : "the image's size is open")};
  }
  if (in.size > kLargest) return Bad(fmt::format("the image is {} wide", in.size));
  if (window.auto_pad.starts_with("SAME")) return Dim{(in.size + window.strides[d] - 1) / window.strides[d], -1};
  const int64_t pads = window.auto_pad == "VALID" ? 0 : window.pads[d] + window.pads[d + spatial];
  const int64_t room = in.size + pads - (window.dilations[d] * (window.kernel[d] - 1) + 1);
  if (room < 0)
    return Bad(fmt::format("a window of {} does not fit into an image of {} with {} of padding", window.kernel[d], in.size, pads));
  return Dim{(room + (round_up ? window.strides[d] - 1 : 0)) / window.strides[d] + 1, -1};
}

// The inverse of Slide: how large an image comes back.
Result<Dim> Spread(const Window& window, const Node& node, size_t d, size_t spatial, const Dim& in, Symbols& symbols) {
  Result<Ints> more = List(node, "output_padding", spatial, 0, 0);
  if (!more) return more.error();
  if (!in.known()) return Dim{-1, symbols.New(in.symbol >= 0 ? symbols[in.symbol].reason : "the image's size is open")};
  if (in.size > kLargest) return Bad(fmt::format("the image is {} wide", in.size));
  if (window.auto_pad.starts_with("SAME")) return Dim{in.size * window.strides[d], -1};
  const int64_t pads = window.auto_pad == "VALID" ? 0 : window.pads[d] + window.pads[d + spatial];
  const int64_t size = window.strides[d] * (in.size - 1) + (*more)[d] + window.dilations[d] * (window.kernel[d] - 1) + 1 - pads;
  if (size < 0) return Bad(fmt::format("its image would be {} wide", size));
  return Dim{size, -1};
}

struct Kind {
  bool has_weight = false, transposed = false;
  size_t weight_input = 1;
};

std::optional<Kind> KindOf(const std::string& op) {
  if (op == "Conv" || op == "ConvInteger") return Kind{true, false, 1};
  if (op == "QLinearConv") return Kind{true, false, 3};
  if (op == "ConvTranspose") return Kind{true, true, 1};
  if (op == "MaxPool" || op == "AveragePool" || op == "LpPool") return Kind{};
  return std::nullopt;
}

int OutputType(const NodeContext& context) {
  if (context.node.op == "ConvInteger") return kInt32;
  const Known* typed = context.node.op == "QLinearConv" ? context.input(7) : context.input(0);
  return typed ? typed->type : static_cast<int>(kUndefined);
}

}  // namespace

Result<Outputs> InferWindow(const NodeContext& context) {
  const std::optional<Kind> kind = KindOf(context.node.op);
  if (!kind || !context.node.domain.empty()) return Outputs(std::nullopt);
  const Known* x = context.input(0);
  if (!x) return Bad("it has no input");
  if (!x->shape) return Bad("its input has no shape");
  if (x->shape->size() < 3)
    return Bad(fmt::format("its input has {} dimensions, not images, channels and at least one of space", x->shape->size()));
  const size_t spatial = x->shape->size() - 2;
  const Known* weight = kind->has_weight ? context.input(kind->weight_input) : nullptr;
  std::optional<Ints> kernel;
  if (kind->has_weight) {
    if (!weight) return Bad("it has no weight");
    if (!weight->shape) return Bad("its weight has no shape");
    if (weight->shape->size() != x->shape->size())
      return Bad(fmt::format("its weight has {} dimensions where its input has {}", weight->shape->size(), x->shape->size()));
    if (const std::optional<Ints> dims = weight->dims()) kernel = Ints(dims->begin() + 2, dims->end());
  }
  Result<Window> window = ReadWindow(context.node, kernel, spatial);
  if (!window) return window.error();
  Dim channels = (*x->shape)[1];
  if (weight) {
    channels = (*weight->shape)[kind->transposed ? 1 : 0];
    const Attribute* group = context.node.Find("group");
    if (group && group->kind != Attribute::Kind::kInt) return Bad("group is no integer");
    const int64_t groups = context.node.Int("group", 1);
    if (groups < 1 || groups > kLargest) return Bad(fmt::format("it has {} groups", groups));
    if (kind->transposed && channels.known() && channels.size <= kLargest) channels.size *= groups;
  }
  Shape shape = {(*x->shape)[0], channels};
  const std::optional<Ints> output_shape = kind->transposed ? context.node.Ints("output_shape") : std::nullopt;
  for (size_t d = 0; d < spatial; ++d) {
    const Dim& in = (*x->shape)[d + 2];
    if (output_shape && output_shape->size() == spatial && (*output_shape)[d] > 0) {
      shape.push_back({(*output_shape)[d], -1});
      continue;
    }
    Result<Dim> out = kind->transposed ? Spread(*window, context.node, d, spatial, in, context.symbols)
                                       : Slide(*window, d, spatial, in, context.node.Int("ceil_mode", 0) != 0, context.symbols);
    if (!out) return out.error();
    shape.push_back(*out);
  }
  Known known;
  known.type = OutputType(context);
  known.shape = shape;
  std::vector<Known> outputs(1, known);
  known.type = kInt64;  // the indices of a MaxPool
  if (context.node.outputs.size() > 1) outputs.push_back(known);
  return Outputs(outputs);
}

}  // namespace lathe::graph
