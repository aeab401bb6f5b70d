"""A scene that learns from unlabelled photos: a slow method localizes them, and what is certain maps the place for all."""

from irploc.learning.answers import AnswerFile, Found
from irploc.learning.asking import ask
from irploc.learning.judging import KEPT, KeepOptions, judge
from irploc.learning.memory import TABLE, Decided, Memory, counted
from irploc.learning.taking_in import save_learned, with_learned
from irploc.learning.walks import Walk, check_sources, walks_of, without_known

__all__ = [
    "KEPT",
    "TABLE",
    "AnswerFile",
    "Decided",
    "Found",
    "KeepOptions",
    "Memory",
    "Walk",
    "ask",
    "check_sources",
    "counted",
    "judge",
    "save_learned",
    "walks_of",
    "with_learned",
    "without_known",
]
