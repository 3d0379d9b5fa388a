"""What an exercise is: one declared thing. The lesson states it; its entry in `exercises/` says how it is judged."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field


@dataclass(frozen=True)
class Exercise:
    """What the judge asks of an answer.

    Attributes
    ----------
    title, minutes, kind : for the reader; kind is "fill in", "write" or "open"
    takes : the arguments of the function, as the lesson writes them, such as "p, k"
    inputs : `inputs(random) -> arguments`, one random case; `random` is a numpy Generator; several are asked in turn
    oracle : `oracle(*arguments) -> value`, by other code than ours; None where any answer with the properties is right
    against : what the oracle is, in words
    gradient : the position of the argument into which a gradient has to flow; None where none has to
    properties : {sentence: holds(answer, *arguments)}, asked in this order and before the oracle
    hints : three sentences, from a nudge to nearly there
    mistakes : {sentence: function}, typical wrong answers, and what is said to one who gives the same
    """

    title: str
    _: KW_ONLY
    minutes: int
    kind: str
    takes: str
    inputs: Callable | tuple
    oracle: Callable | None = None
    against: str
    gradient: int | None = None
    properties: dict = field(default_factory=dict)
    hints: tuple
    mistakes: dict
