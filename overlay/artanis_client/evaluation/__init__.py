"""Outcomes, evaluation examples, scorecards and exports: what reviewers decided about each span."""

from ._examples import EvaluationExample, check_steps, examples, to_utc
from ._export import EmptyExportError, ExportReport, aexport, export
from ._formats import FORMATS, OUTCOMES, Format
from ._journal import Skipped
from ._outcomes import REVIEWED, Outcome, equal_json, outcome
from ._scorecard import Scorecard, ScorecardRow, ScorecardWeek, scorecard, scorecard_row
from ._splits import split

__all__ = [
    "FORMATS",
    "OUTCOMES",
    "REVIEWED",
    "EmptyExportError",
    "EvaluationExample",
    "ExportReport",
    "Format",
    "Outcome",
    "Scorecard",
    "ScorecardRow",
    "ScorecardWeek",
    "Skipped",
    "aexport",
    "check_steps",
    "equal_json",
    "examples",
    "export",
    "outcome",
    "scorecard",
    "scorecard_row",
    "split",
    "to_utc",
]
