"""`to_arrow` and the format parquet: typed columns, in bounded memory."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pyarrow
import pyarrow.parquet
import pytest

from artanis_client import Artanis, EvaluationExample, examples, export, models, to_arrow
from artanis_client.evaluation import _parquet
from artanis_client.evaluation._formats import format_row
from artanis_client.sandbox import Sandbox
from support import LIMIT, Server, serve, span, trace, unmeasured

WHEN = datetime(2026, 4, 8, 9, 0, 1, 123456, tzinfo=UTC)


def make(**fields: Any) -> EvaluationExample:
    detail = {**trace(), "spans": [span()], "feedback": []}
    [made] = examples(models.TraceDetail.from_dict(detail))
    return attrs.evolve(made, **fields)


def test_columns() -> None:
    """Free JSON is JSON text, a JSON null is null, comments are a list of strings, and times are in UTC."""
    value = {"a": [1, 2.5, None, True, "é\u2028"]}
    made = make(input=value, output=None, feedback=("good", "x\ny"), created_at=WHEN, prompt_version_id=None)
    table = to_arrow([made])
    assert table.column_names == [field.name for field in attrs.fields(EvaluationExample)]
    types = {str(field.type) for field in table.schema if field.name.endswith("_at")}
    assert types == {"timestamp[us, tz=UTC]"}
    [row] = table.to_pylist()
    assert json.loads(row["input"]) == value
    assert (row["output"], row["prompt_version_id"]) == (None, None)
    assert (row["feedback"], row["created_at"]) == (["good", "x\ny"], WHEN)
    assert row["outcome"] == made.outcome


@pytest.mark.parametrize("count", [0, 1, 7])
def test_the_table_is_that_of_the_file(tmp_path: Path, count: int) -> None:
    """`to_arrow` returns what the file contains, from a generator too."""
    with Sandbox(traces=count) as sandbox, Artanis(**sandbox.credentials) as client:
        path = export(client, tmp_path / "a.parquet").path
        table = to_arrow(made for detail in client.traces.iter() for made in examples(detail))
    found = pyarrow.parquet.read_table(path)
    assert found.schema == table.schema
    assert found.to_pylist() == table.to_pylist()
    assert (table.num_rows > 0) == (count > 0)


@pytest.mark.parametrize(("limit", "value"), [("MAX_ROWS", 4), ("MAX_BYTES", 3000)])
def test_row_groups(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    """Rows are written in groups with a limited number of rows and bytes, and all of them arrive in order."""
    monkeypatch.setattr(_parquet, limit, value)
    listed = serve(server, 10)
    with Artanis(**server.credentials, timeout=LIMIT) as client:
        path = export(client, tmp_path / "a.parquet").path
    with pyarrow.parquet.ParquetFile(path) as file:
        groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        assert file.read()["trace_id"].to_pylist() == listed
    assert sum(groups) == 10
    assert (groups == [4, 4, 2]) if limit == "MAX_ROWS" else (len(groups) > 1)


def test_a_large_row() -> None:
    """A row may be larger than a row group."""
    assert len(to_arrow([make(input="x" * (_parquet.MAX_BYTES + 1))])["input"][0].as_py()) > _parquet.MAX_BYTES


def test_a_full_disk() -> None:
    """If the disk is full, the error is the usual one."""

    class FullDisk(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() + len(data) > 1000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    with (  # noqa: PT012
        pytest.raises(OSError, match="No space") as caught,
        _parquet.parquet_writer(FullDisk()) as rows,
    ):
        rows.write(format_row("parquet", make().to_dict()).encode())
        rows.flush()
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("code", ["artanis_client.to_arrow([])", "export(client, 'a.parquet')"])
def test_without_the_extra(server: Server, tmp_path: Path, code: str) -> None:
    """Without pyarrow, the error names the extra, and nothing is read."""
    start = "import sys; sys.modules['pyarrow'] = None\n"
    start += "import artanis_client; from artanis_client import Artanis, export\n"
    client = f"client = Artanis(api_key='k', org_slug='o', project_slug='p', base_url={server.url!r})\n"
    command = [sys.executable, "-c", start + client + code]
    done = subprocess.run(
        command, capture_output=True, text=True, env=unmeasured(), timeout=LIMIT, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == "ImportError: Parquet and Arrow need pyarrow: pip install 'artanis-client[parquet]'"
    assert not server.requests
    assert not list(tmp_path.glob("a.*"))
