"""Semi-supervised classification of skin lesions (section 3.3 and Tables 4-6 of the paper).

    data = classification.load()                                # I2PEMD_DATA, or the synthetic set
    run = classification.train("i2pemd", data)                  # an iterator over training steps
    for step in run.progress(): ...
    print(classification.evaluate(run))
    classification.predict(run, out="out/skin.csv")
    print(classification.tables(seeds=(0, 1, 2)))               # Tables 4 to 6, the paper's numbers beside
    classification.from_runs(folders).save("out/tables")        # the same, of runs that are there
"""

from i2pemd_lite.classification.data import Dataset, load
from i2pemd_lite.classification.layout import CLASSES
from i2pemd_lite.classification.methods import METHODS
from i2pemd_lite.classification.prepare import Prepared, Split, prepare, split
from i2pemd_lite.classification.settings import SMALL, ClassificationSettings
from i2pemd_lite.classification.tables import Tables, from_runs, tables
from i2pemd_lite.classification.task import TASK, evaluate, predict, resume, train

__all__ = [
    "CLASSES", "METHODS", "SMALL", "TASK", "ClassificationSettings", "Dataset", "Prepared", "Split", "Tables",
    "evaluate", "from_runs", "load", "predict", "prepare", "resume", "split", "tables", "train",
]  # fmt: skip
