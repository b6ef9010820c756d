#include "search/strategy.h"

#include <fmt/format.h>

#include "search/annealing_strategy.h"
#include "search/genetic_strategy.h"
#include "search/grid_strategy.h"
#include "search/local_strategy.h"
#include "search/model_strategy.h"
#include "search/portfolio_strategy.h"
#include "search/random_strategy.h"

namespace lathe {

std::vector<std::string> StrategyNames() { return {"random", "grid", "annealing", "genetic", "local", "model", "portfolio"}; }

namespace {

Result<std::unique_ptr<Strategy>> MakePortfolio(const StrategyContext& context) {
  std::vector<std::unique_ptr<Strategy>> arms;
  arms.push_back(std::make_unique<ModelStrategy>(context, ModelOptions{}));
  arms.push_back(std::make_unique<LocalStrategy>(context));
  arms.push_back(std::make_unique<GeneticStrategy>(context));
  return std::unique_ptr<Strategy>(std::make_unique<PortfolioStrategy>(context, std::move(arms)));
}

}  // namespace

Result<std::unique_ptr<Strategy>> MakeStrategy(const std::string& name, const StrategyContext& context) {
  if (context.space == nullptr) return Error{ErrorCode::kInternal, fmt::format("make strategy '{}': no space given", name)};
  if (name == "model") {
    Result<ModelOptions> options = ModelOptions::Parse(context.options);
    if (!options) return options.error();
    return std::unique_ptr<Strategy>(std::make_unique<ModelStrategy>(context, *options));
  }
  if (!context.options.empty()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("strategy '{}' has no option '{}'; only 'model' has options", name, context.options.begin()->first)};
  }
  if (name == "random") return std::unique_ptr<Strategy>(std::make_unique<RandomStrategy>(context));
  if (name == "grid") return std::unique_ptr<Strategy>(std::make_unique<GridStrategy>(context));
  if (name == "annealing") return std::unique_ptr<Strategy>(std::make_unique<AnnealingStrategy>(context));
  if (name == "genetic") return std::unique_ptr<Strategy>(std::make_unique<GeneticStrategy>(context));
  if (name == "local") return std::unique_ptr<Strategy>(std::make_unique<LocalStrategy>(context));
  if (name == "portfolio") return MakePortfolio(context);
  return Error{ErrorCode::kInvalidInput, fmt::format("no strategy '{}'; there are {}", name, fmt::join(StrategyNames(), ", "))};
}

}  // namespace lathe
