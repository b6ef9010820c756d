"""A tuner in the manner of AutoTVM's XGBTuner (Chen et al., 2018), for comparison: raw parameter values, trees of depth 3, plans of 64.

`rank` is AutoTVM's default: pairwise ranking, boosted until the recall of the plan's best has not grown for 20 rounds, the plan by
simulated annealing on the model's score (128 chains that live on from plan to plan, up to 500 steps, 50 without success), 5 % of a plan
at random. `regression` scores the whole space with squared error in batches of 16, which AutoTVM does not do: it shows what the scan of
the space and the smaller batch bring. Rebuilt from the description and source, not AutoTVM itself.
"""
import heapq
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


class _StopByRecall(xgboost.callback.TrainingCallback):
    """Ends boosting when the share of the truly best that the model puts first, averaged over the plan's lengths, no longer grows."""

    def __init__(self, data, targets, plan):
        self.data, self.plan, self.best, self.best_at = data, plan, -math.inf, 0
        self.rank = numpy.empty(len(targets), dtype=int)
        self.rank[numpy.argsort(-targets, kind="stable")] = numpy.arange(len(targets))

    def after_iteration(self, model, epoch, evals_log):
        if epoch % 2 == 1:
            return False
        ranks = self.rank[numpy.argsort(model.predict(self.data))[::-1]]
        lengths = range(min(self.plan, len(ranks)))
        recall = sum(numpy.count_nonzero(ranks[:n] <= n) / (n + 1) for n in lengths) / self.plan
        if recall > self.best:
            self.best, self.best_at = recall, epoch
        return epoch - self.best_at >= 20


def _fit(coded, rows, plan, objective, seed):
    targets = coded.throughput[rows]
    targets = targets / max(targets.max(), 1e-8)
    data = xgboost.DMatrix(coded.features[rows], targets)
    settings = {"max_depth": 3, "gamma": 1e-4, "min_child_weight": 1, "subsample": 1.0, "eta": 0.3, "lambda": 1.0, "alpha": 0, "nthread": 1,
                "seed": seed, "verbosity": 0, "disable_default_eval_metric": 1}
    if objective == "rank":
        settings.update(objective="rank:pairwise", lambdarank_pair_method="mean", lambdarank_num_pair_per_sample=1)
    else:
        settings.update(objective="reg:squarederror")
    return xgboost.train(settings, data, num_boost_round=8000, callbacks=[_StopByRecall(data, targets, plan)])


def _anneal(coded, model, seen, points, plan, rng):
    """The plan, best first, and where the chains ended."""
    score = lambda rows: model.inplace_predict(coded.features[rows], validate_features=False)
    value = score(points)
    heap = [(-math.inf, -1 - place) for place in range(plan)]
    held = set(numpy.flatnonzero(seen).tolist())  # seen, or in the heap

    def offer(rows, values):
        entered = False
        for row, own in zip(rows.tolist(), values.tolist()):
            if own > heap[0][0] and row not in held:
                held.discard(heapq.heapreplace(heap, (own, row))[1])
                held.add(row)
                entered = True
        return entered

    offer(points, value)
    last = 0
    for step in range(500):
        if step >= last + 50:
            break
        temperature = 1 - step / 501
        moved = coded.walk(points, rng)
        moved_value = score(moved)
        accept = rng.random(len(points)) < numpy.exp(numpy.minimum((moved_value - value) / (temperature + 1e-5), 1))
        points, value = numpy.where(accept, moved, points), numpy.where(accept, moved_value, value)
        if offer(moved, moved_value):
            last = step
    return [row for own, row in sorted(heap, reverse=True) if row >= 0], points


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
        batch, place = [], 0
        while len(batch) < plan and len(order) + len(batch) < count:
            while place < len(wanted) and seen[wanted[place]]:
                place += 1
            if place < len(wanted) - int(0.05 * plan):
                row = wanted[place]
            else:
                row = int(rng.integers(count))
                while seen[row]:
                    row = int(rng.integers(count))
            seen[row] = True
            batch.append(row)
        order += batch
        if len(order) >= budget or coded.throughput[order].max() <= 0:
            continue
        model = _fit(coded, order, plan, strategy, seed)
        if strategy == "rank":
            wanted, chains = _anneal(coded, model, seen, chains, plan, rng)
        else:
            score = model.inplace_predict(coded.features)
            score[seen] = -math.inf
            wanted = numpy.argsort(-score, kind="stable")[:plan].tolist()
    return [space.times[row] for row in order[:budget]]
