"""What happens at a line: a learner's stop button, a full memory."""

import sys
from pathlib import Path

import i2pemd_lite

PACKAGE = str(Path(i2pemd_lite.__file__).parent)


class Lines:
    """Inside, the lines of the package that run are counted, each at its first time where `once`; at the n-th, `do()`.

    `also(frame)` says of which other code the lines count.
    """

    def __init__(self, n=None, do=None, once=False, also=lambda frame: False):
        self.n, self.do, self.once, self.also = n, do, once, also
        self.count, self.places = 0, set()

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self._enter)
        return self

    def __exit__(self, *about):
        sys.settrace(self.before)

    def _enter(self, frame, event, about):
        return self._line if frame.f_code.co_filename.startswith(PACKAGE) or self.also(frame) else None

    def _line(self, frame, event, about):
        place = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and not (self.once and place in self.places):
            self.places.add(place)
            self.count += 1
            if self.count == self.n:
                self.do()
        return self._line
