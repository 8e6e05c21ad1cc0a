"""The scorecard as one page of HTML."""
