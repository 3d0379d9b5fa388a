"""Which settings act in which method: what its row says is what its weights show."""

import pytest
import torch

from i2pemd_lite import classification, segmentation

LONG = {"profile": "ci", "steps": 600, "schedule": "step", "decay": 1.0}
SEGMENTATION = {"width": 2, "dim": 4, "batch": 2}
CLASSIFICATION = {"size": 12, "width": 4, "labelled": 14, "unlabelled": 12, "tau_low": 0.15, "tau_high": 0.2, "top": 4,
                  "share": 0.75, "flex_tau": 0.18, "flex_warm_up": False}  # fmt: skip
OTHER = {  # another value of each setting that is not read by all
    "weight": 0.3, "momentum": 0.1, "pool": "in turn", "first": "zeros", "weight_i2ped": 0.5, "weight_kd": 5.0,
    "temperature": 4.0, "fixed": 0.5, "forward": "apart", "tau_low": 0.1965, "tau_high": 0.197, "top": 1,
    "mean_over": "selected", "features": "strong", "prototypes": "first", "n_ops": 1, "magnitude": 2, "cutout": 0.5,
    "flex_tau": 0.3, "flex_warm_up": True, "mt_weight": 3.0, "src_weight": 9.0, "ua_weight": 50.0, "ua_passes": 1,
    "ua_on": "all", "vat_weight": 9.0, "vat_entropy": 1.0, "vat_xi": 0.1, "vat_epsilon": 1.0, "mix_weight": 3.0,
    "mix_temperature": 2.0, "mix_beta": 5.0, "unlabelled": 11, "share": 0.4, "norms": "apart",
}  # fmt: skip


TASKS = {"segmentation": (segmentation, SEGMENTATION), "classification": (classification, CLASSIFICATION)}


@pytest.fixture(scope="module")
def prepared(abdomen, skin):
    """The small data of each task, ready for such runs."""
    folders = {"segmentation": abdomen, "classification": skin}
    return {task: module.train(next(iter(module.METHODS)), folders[task], **LONG, **small).learner.data
            for task, (module, small) in TASKS.items()}  # fmt: skip


@pytest.mark.parametrize("task, method", [(task, method) for task in TASKS for method in TASKS[task][0].METHODS])
def test_a_setting_acts_in_the_methods_that_say_so_and_in_no_other(prepared, task, method):
    module, small = TASKS[task]
    ignored = {name: module.TASK.ignored(name) for name in module.METHODS}

    def trained(*changed):
        run = module.train(method, prepared[task], **{**LONG, **small, **{name: OTHER[name] for name in changed}})
        next(run)
        run.number = run.settings.steps - 4  # where the own term of each method has its weight
        next(run), next(run)
        return torch.cat([weight.detach().flatten() for weight in run.learner.network.parameters()])

    weights = trained()
    assert torch.equal(weights, trained(*ignored[method]))
    for name in set().union(*ignored.values()) - ignored[method]:
        assert not torch.equal(weights, trained(name)), name
