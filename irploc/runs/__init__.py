"""Records of trainings: a folder each, with its settings, its errors as they fell, and how it ended."""

from irploc.runs.catalog import Catalog, find_run
from irploc.runs.comparison import differences
from irploc.runs.configuration import Configuration, check_replaceable, configuration_path
from irploc.runs.entries import Entry, best, final
from irploc.runs.recorder import RunRecorder, Unrecorded
from irploc.runs.run import CURVES, Run

__all__ = [
    "CURVES",
    "Catalog",
    "Configuration",
    "Entry",
    "Run",
    "RunRecorder",
    "Unrecorded",
    "best",
    "check_replaceable",
    "configuration_path",
    "differences",
    "final",
    "find_run",
]
