"""What reviewers decided about each span, as outcomes, evaluation examples, scorecards and files."""
