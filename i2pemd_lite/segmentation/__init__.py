"""Unpaired CT/MR segmentation of liver, kidneys and spleen (section 3.2 and Tables 1-3 of the paper).

    data = segmentation.load()                                  # I2PEMD_DATA, or the synthetic set
    run = segmentation.train("joint_sepbn_i2pemd", data)        # an iterator over training steps
    for step in run.progress(): ...
    print(segmentation.evaluate(run))
    segmentation.predict(run, out="out/labels")
    print(segmentation.tables(seeds=(0, 1, 2)))                 # Tables 1 to 3, the paper's numbers beside
    segmentation.from_runs(folders).save("out/tables")          # the same, of runs that are there
"""

from i2pemd_lite.segmentation.data import Dataset, Scan, load, split
from i2pemd_lite.segmentation.layout import CLASSES, MODALITIES, ORGANS
from i2pemd_lite.segmentation.methods import METHODS
from i2pemd_lite.segmentation.prepare import Geometry, Prepared, prepare
from i2pemd_lite.segmentation.settings import SegmentationSettings
from i2pemd_lite.segmentation.tables import Tables, from_runs, tables
from i2pemd_lite.segmentation.task import TASK, evaluate, predict, resume, train

__all__ = [
    "CLASSES", "METHODS", "MODALITIES", "ORGANS", "TASK", "Dataset", "Geometry", "Prepared", "Scan",
    "SegmentationSettings", "Tables", "evaluate", "from_runs", "load", "predict", "prepare", "resume", "split",
    "tables", "train",
]  # fmt: skip
