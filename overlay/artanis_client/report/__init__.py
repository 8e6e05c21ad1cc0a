"""The scorecard as one HTML page, and the most frequent corrections. The page needs Jinja2 (extra `cli`)."""

from ._corrections import Corrections
from ._page import report_html
from ._text import link_maker

__all__ = ["Corrections", "link_maker", "report_html"]
