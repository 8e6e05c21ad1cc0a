"""Test the recipe under a real scheduler, as people run it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import duckdb
import pytest

pytest.importorskip("dagster", reason="is in another environment: make slow")

from artanis_client.sandbox import Sandbox
from schedule import load_artanis
from support import NOW


def test_one_of_two_projects_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project that fails does not stop the other one, and its task says why."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry))
    for name in ("HOME", "DLT_DATA_DIR", "DAGSTER_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    slugs = ["unknown", "support-chat"]
    with Sandbox(traces=20, now=NOW) as sandbox:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        run = load_artanis.execute_in_process(
            run_config={"ops": {"projects": {"config": {"slugs": slugs}}}}, raise_on_error=False
        )
    succeeded, failed = (
        {event.step_key: event for event in run.all_events if event.event_type_value == kind}
        for kind in ("STEP_SUCCESS", "STEP_FAILURE")
    )
    assert not run.success
    assert "load_project[artanis_support_chat]" in succeeded
    assert list(failed) == ["load_project[artanis_unknown]"]
    reason = str(failed["load_project[artanis_unknown]"].event_specific_data)
    assert "Reading failed; nothing from this run was loaded." in reason
    with duckdb.connect(str(tmp_path / "load_artanis_support_chat.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM artanis_support_chat.traces").fetchall() == [(20,)]
