"""Every night: export what reviewers decided, write a scorecard, and fail if the API has drifted from the contract.

    python nightly_export.py /data/artanis

It needs the extra `contract`, and the variables ARTANIS_API_KEY, ARTANIS_ORG_SLUG and ARTANIS_PROJECT_SLUG. Schedule
it with cron, systemd or a workflow, and let it alarm on an exit status other than 0:

    0 success, 1 the API has drifted (the files are written all the same), 2 the export failed
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from artanis_client import Artanis, ArtanisError, EvaluationExample, export, scorecard
from artanis_client.contract import check


def main(directory: Path) -> int:
    """Run the night's work, and return the exit status."""
    directory.mkdir(parents=True, exist_ok=True)
    examples_file = directory / "examples.jsonl"
    try:
        with Artanis(max_retries=5) as client:
            # Reads only traces that are new or not completely reviewed. If it is interrupted, the next night continues.
            done = export(client, examples_file, recheck="unreviewed", resume=True, on_error="skip")
            drift = check(client)
    except ArtanisError as error:
        print(f"nightly_export: {error}", file=sys.stderr)
        return 2
    card = scorecard(read_examples(examples_file))
    (directory / "scorecard.json").write_text(json.dumps(card, indent=2), encoding="utf-8")
    print(f"{done.examples} examples of {done.traces} traces, {done.read} of them read, {len(done.skipped)} skipped")
    if drift.exit_code == 1:
        print("\n".join(drift.lines()), file=sys.stderr)
    return 1 if drift.exit_code == 1 else 0


def read_examples(path: Path) -> Iterator[EvaluationExample]:
    """Yield the examples of a file, so that no more than one is in memory."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield EvaluationExample.from_dict(json.loads(line))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} DIRECTORY")
    sys.exit(main(Path(sys.argv[1])))
