// ModelOptions: what can be switched in the model strategy, so that a replay can say what each ingredient brings.
#pragma once

#include "core/result.h"
#include "search/strategy.h"

namespace lathe {

// As StrategyContext::options: "NAME": "VALUE".
struct ModelOptions {
  std::string surrogate = "gp";   // "gp" (Gaussian process), "boosted" (XGBoost), "mix" (the mean of both)
  std::string objective = "reg";  // objective of the boosters: "reg" (squared error), "rank" (pairwise ranking)
  int members = 3;                // boosters in the ensemble
  int rounds = 40;                // of each booster
  int depth = 5;
  double learning_rate = 0.25;
  double columns = 0.5;            // share of the columns each tree may split
  std::string acquisition = "ei";  // "ei" (expected improvement), "ucb" (mean + kappa * deviation), "mean" (no uncertainty)
  double kappa = 1.0;
  double epsilon = 0.03;  // share of proposals that are drawn at random
  double local = 0.25;    // share of proposals that differ from the best point in two parameters at most
  double widen = 1;       // how much doubt grows while nothing better is found; 0: never
  int start = 0;          // size of the covering start; 0: 6, or a fifth of a small budget
  int spread = 8;         // candidates each point of the start is the most distant of; 1: a random start
  bool pairs = true;      // features: products and ratios of pairs of parameters
  bool alignment = true;  // features: how often two divides a number, whether it is a power of two
  bool codes = true;      // features: each value of 0, 1, 2, ... by itself
  bool logs = true;
  bool manifest = true;      // features: the manifest's
  bool constraints = true;   // features: what the constraints compare
  bool additive = true;      // Gaussian process: a part that learns what each parameter does by itself
  double slow_weight = 0.5;  // how much of their distance from the median slow points keep; 1: all of it
  bool diversity = true;     // a batch spreads itself
  bool neighbours = true;    // candidates: neighbours of the best, local search on the acquisition
  bool validity = true;      // learns which configs fail
  int pool = 400;            // random candidates scored a time

  static Result<ModelOptions> Parse(const StrategyOptions& options);
};

// The options that leave an ingredient out, so that a replay can say what it brings.
const std::map<std::string, StrategyOptions>& Ablations();

}  // namespace lathe
