"""Interactive pieces of the lessons, one file a panel (see `panel.py` for their shape)."""

from i2pemd_lite.panels.lesson import agree, start
from i2pemd_lite.panels.question import predict

__all__ = ["agree", "predict", "start"]
