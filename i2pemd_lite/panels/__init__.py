"""Interactive pieces of the lessons, one file a panel; what all are made of is in `engine`.

Without data, each by `.panel()`: `doubt` one voxel of a scan and what mistakes cost, `playground` a small network that
learns, `instance` one prediction, its measures and gradients, and the whole idea, `transport` two histograms, their
plan, three solvers, `ground` prototypes, ranks, G, `dynamics` momentum, drift, two modalities, `museum` six settings
that break the method, `readings` passages that the paper leaves open.
Of measurements: `speed.panel`, `seeds.panel`, `parts.panel`.
Of data and runs, as lessons 05 to 08 show: `volumes.volumes` three planes, runs beside each other, organs in 3D,
`sharing.sharing`, `classification.sheet` and `.views`, `selection.panel` who may teach, at one cut, at every one and by
class, and the hardest images, `moments.scrub`, `epochs.epochs`, and `segmentation.panel` and `classification.panel`,
which train.
`cockpit.cockpit("runs")` trains in a process of its own, `sweeps.panel("sweeps/weight")` many runs in some.
"""

from i2pemd_lite.panels.engine.lesson import agree, start

__all__ = ["agree", "start"]
