"""Interactive pieces of the lessons, one file a panel (see `panel.py` for their shape)."""

from i2pemd_lite.panels.engine.lesson import agree, start

__all__ = ["agree", "start"]
