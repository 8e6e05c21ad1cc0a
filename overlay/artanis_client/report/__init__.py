"""The scorecard as one HTML page. Needs Jinja2, which the extra `cli` includes."""

from ._page import report_html

__all__ = ["report_html"]
