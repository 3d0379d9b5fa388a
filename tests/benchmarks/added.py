"""What each row of Table 4 adds to the baseline's gradient, over a run: an inert method is seen at once.

At some steps of a run of each method, both gradients are taken of the same batch and weights, ∇L_s of the labelled
loss alone and ∇(L − L_s) of what the method adds, with their norms' ratio and the cosine between them. "over the run"
is the ratio's mean, each step with the weight of its learning rate, as a step counts. Images are those of I2PEMD_DATA,
else the synthetic ones.
"""

import copy

import numpy as np
import torch

from i2pemd_lite import classification
from i2pemd_lite.classification import METHODS, paper
from i2pemd_lite.runs.sampling import seeded
from i2pemd_lite.runs.settings import SCHEDULES


def added_rows(quick):
    """A row for each method that adds something: the ratio in each quarter of a run, and over all of it."""
    steps, places, profile = (8, 4, "ci") if quick else (400, 40, "laptop")
    data, rows = classification.load(), []
    for method in (name for name in METHODS if METHODS[name].unlabelled):
        small = {} if quick else classification.SMALL
        run = classification.train(method, data, profile=profile, steps=steps, evaluate_every=steps, **small)
        rates, ratios, cosines = np.array([_added(step, run) for step in _at(run, steps // places)]).T
        quarters = {f"{25 * (n + 1)} %": float(part.mean()) for n, part in enumerate(np.array_split(ratios, 4))}
        acts = cosines[ratios > 0]  # where nothing is added it has no direction
        cosine = float(acts.mean()) if len(acts) else 0.0
        over = {"over the run": float(np.average(ratios, weights=rates)), "cosine": cosine}
        rows.append({"where": f"{profile}, {steps} steps", "what": paper.NAMES[method], **quarters, **over})
    return rows


def _at(run, every):
    while run.number < run.settings.steps:
        if run.number % every == 0:
            yield run.number
        next(run)


def _added(step, run):
    """(rate, ‖∇(L − L_s)‖ / ‖∇L_s‖, cosine of the two) of the step that comes, which the run then takes as if not."""
    learner = copy.deepcopy(run.learner).train()
    parameters = [p for p in learner.parameters() if p.requires_grad]
    with seeded(run.settings.seed, "step", step):
        losses = learner.losses(step)
    alone, all_of_it = (
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters, retain_graph=True)]).double()
        for loss in (losses["labelled"], losses["loss"])
    )
    more = all_of_it - alone
    rate = SCHEDULES[run.settings.schedule](run.settings, step)
    return rate, (more.norm() / alone.norm()).item(), (more @ alone / (more.norm() * alone.norm())).item()
