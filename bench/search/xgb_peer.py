"""A tuner in the manner of AutoTVM's XGBTuner (Chen et al., 2018), for comparison: raw parameter values, trees of depth 3, plans of 64.

`rank` is AutoTVM's default: pairwise ranking, the plan by simulated annealing on the model's score (128 chains, up to 500 steps, 50 without
success), 5 % of a plan at random. `regression` scores the whole space with squared error in batches of 16, which AutoTVM does not do: it
shows what the scan of the space and the smaller batch bring. Rebuilt from the description and source, not AutoTVM itself.
"""
import math

import numpy
import xgboost

STRATEGIES = ["rank", "regression"]


class Coded:
    """A space with each configuration as the places of its values, and a look-up back."""

    def __init__(self, space):
        self.features = numpy.array(space.configs, dtype=numpy.float32)
        self.throughput = numpy.array([0.0 if math.isinf(t) else space.optimum / t for t in space.times])
        places = [{value: i for i, value in enumerate(values)} for values in space.values]
        self.code = numpy.array([[places[p][value] for p, value in enumerate(config)] for config in space.configs])
        self.sizes = numpy.array([len(values) for values in space.values])
        self.step = numpy.cumprod(numpy.r_[1, self.sizes[:-1]])
        self.row = numpy.full(int(numpy.prod(self.sizes)), -1)
        self.row[(self.code * self.step).sum(1)] = numpy.arange(len(self.code))

    def walk(self, rows, rng):
        """One random parameter of each row to a random value, again and again until the row is valid and another one."""
        code, todo, out = self.code[rows].copy(), numpy.arange(len(rows)), numpy.empty(len(rows), dtype=int)
        while len(todo):
            parameter = rng.integers(0, len(self.sizes), len(todo))
            code[todo, parameter] = (rng.random(len(todo)) * self.sizes[parameter]).astype(int)
            row = self.row[(code[todo] * self.step).sum(1)]
            good = (row >= 0) & (row != rows[todo])
            out[todo[good]] = row[good]
            todo = todo[~good]
        return out


def _fit(coded, rows, objective, seed):
    targets = coded.throughput[rows]
    data = xgboost.DMatrix(coded.features[rows], targets / max(targets.max(), 1e-8))
    settings = {"max_depth": 3, "gamma": 1e-4, "eta": 0.3, "lambda": 1.0, "nthread": 1, "seed": seed, "verbosity": 0}
    settings["objective"] = "rank:pairwise" if objective == "rank" else "reg:squarederror"
    return xgboost.train(settings, data, num_boost_round=60)


def _anneal(coded, model, seen, points, plan, rng):
    score = lambda rows: model.inplace_predict(coded.features[rows], validate_features=False)
    value = score(points)
    found = dict(zip(points.tolist(), value.tolist()))
    floor, since = -math.inf, 0
    for step in range(500):
        temperature = 1 - step / 501
        moved = coded.walk(points, rng)
        moved_value = score(moved)
        accept = rng.random(len(points)) < numpy.exp(numpy.minimum((moved_value - value) / (temperature + 1e-5), 1))
        points, value = numpy.where(accept, moved, points), numpy.where(accept, moved_value, value)
        since += 1
        for row, own in zip(moved.tolist(), moved_value.tolist()):
            if own > floor and row not in found and not seen[row]:
                found[row] = own
                since = 0
        if len(found) > 4 * plan:
            found = dict(sorted(found.items(), key=lambda item: -item[1])[:plan])
            floor = min(found.values())
        if since >= 50:
            break
    best = sorted((row for row in found if not seen[row]), key=lambda row: -found[row])
    return best[:plan], points


def trace(space, strategy, seed, budget, coded=None):
    """Times in the order measured, `budget` at most."""
    coded = coded or Coded(space)
    rng = numpy.random.default_rng(seed)
    count = len(space.configs)
    plan = 64 if strategy == "rank" else 16
    seen, order = numpy.zeros(count, bool), []
    chains = rng.choice(count, min(128, count), replace=False)
    wanted = []
    while len(order) < min(budget, count):
        at_random = plan if not wanted else max(1, round(0.05 * plan))
        batch = wanted[:plan - at_random]
        for row in batch:
            seen[row] = True
        while len(batch) < plan and len(order) + len(batch) < count:
            row = int(rng.integers(count))
            if not seen[row]:
                seen[row] = True
                batch.append(row)
        order += batch
        if coded.throughput[order].max() <= 0:
            continue
        model = _fit(coded, order, strategy, seed)
        if strategy == "rank":
            wanted, chains = _anneal(coded, model, seen, chains, plan, rng)
        else:
            score = model.inplace_predict(coded.features)
            score[seen] = -math.inf
            wanted = numpy.argsort(-score, kind="stable")[:plan].tolist()
    return [space.times[row] for row in order[:budget]]
