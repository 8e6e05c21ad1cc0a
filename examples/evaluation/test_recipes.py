"""Every recipe runs on the sandbox's data, and the library that it writes for loads the output."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import datasets
import duckdb
import inspect_ai.dataset
import pandas as pd
import polars as pl
import pytest
from together.lib.constants import JSONL_REQUIRED_COLUMNS_MAP, DatasetFormat
from together.lib.utils import check_file

import mask_pii
from artanis_client import Artanis, EvaluationExample, examples, export, split, to_arrow
from artanis_client.sandbox import Sandbox
from support import NOW

HERE = Path(__file__).parent
REVIEWED = ["accepted", "corrected"]
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", (HERE / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)
README: dict[str, Any] = {}
exec("".join(BLOCKS), README)  # noqa: S102


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(traces=40, now=NOW) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def made(sandbox: Sandbox) -> list[EvaluationExample]:
    """All examples of the sandbox."""
    with Artanis(**sandbox.credentials) as client:
        return [example for trace in client.traces.iter() for example in examples(trace)]


@pytest.fixture(autouse=True)
def environment(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe runs in an empty directory, with its credentials in the environment."""
    for name, value in {**sandbox.environment, "HF_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)


def run(name: str) -> None:
    runpy.run_path(str(HERE / name), run_name="__main__")


def read(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def test_preference_pairs(made: list[EvaluationExample]) -> None:
    """Together's client accepts the file, whose keys are those that Together requires."""
    run("preference_pairs.py")
    checked = check_file("pairs.jsonl")
    corrected = [each for each in made if each.outcome == "corrected" and each.step_id == "classify"]
    assert (checked["is_check_passed"], checked["num_samples"]) == (True, len(corrected)), checked["message"]
    for row, each in zip(read("pairs.jsonl"), corrected, strict=True):
        assert [*row] == JSONL_REQUIRED_COLUMNS_MAP[DatasetFormat.PREFERENCE_OPENAI]
        assert [message["role"] for message in row["input"]["messages"]] == ["system", "user"]
        assert row["preferred_output"] == [{"role": "assistant", "content": as_text(each.approved_output)}]
        assert row["non_preferred_output"] == [{"role": "assistant", "content": as_text(each.output)}]
    assert len(corrected) >= 3  # which Fireworks requires


def test_hugging_face(made: list[EvaluationExample]) -> None:
    """The saved dataset has every reviewed span in its split, with typed columns."""
    run("hugging_face.py")
    dataset = datasets.load_from_disk("reviewed")
    assert isinstance(dataset, datasets.DatasetDict)
    for name, part in dataset.items():
        wanted = [
            each for each in made if each.outcome in REVIEWED and split(each, {"train": 0.8, "test": 0.2}) == name
        ]
        assert [row["span_id"] for row in part] == [each.span_id for each in wanted]
        assert part.features["created_at"] == datasets.Value("timestamp[us, tz=UTC]")
        assert part[0]["created_at"] == wanted[0].created_at
        assert part[0]["feedback"] == [*wanted[0].feedback]
    assert {*dataset} == {"train", "test"}


def test_inspect_samples(made: list[EvaluationExample]) -> None:
    """Inspect reads each line as a sample with the prompt, the input and the approved output."""
    run("inspect_samples.py")
    samples = [*inspect_ai.dataset.json_dataset("samples.jsonl")]
    wanted = [each for each in made if each.outcome in REVIEWED and each.step_id == "classify"]
    assert [sample.id for sample in samples] == [each.span_id for each in wanted]
    for sample, each in zip(samples, wanted, strict=True):
        assert isinstance(sample.input, list)
        assert [message.role for message in sample.input] == ["system", "user"]
        assert sample.input[1].text == as_text(each.input)
        assert sample.target == as_text(each.approved_output)
        assert (sample.metadata or {})["outcome"] == each.outcome


def test_mask_pii(made: list[EvaluationExample]) -> None:
    """No user id of the sandbox is left, and a file of masked examples is read back as examples."""
    run("mask_pii.py")
    found = [EvaluationExample.from_dict(row) for row in read("masked.jsonl")]
    assert [(each.span_id, each.outcome) for each in found] == [(each.span_id, each.outcome) for each in made]
    assert re.search(r"user-\d", json.dumps([each.to_dict() for each in made]))
    assert not re.search(r"user-\d", Path("masked.jsonl").read_text(encoding="utf-8"))
    people = [[(each.trace_metadata or {}).get("user_id") for each in spans] for spans in (found, made)]
    assert len({*people[0]}) == len({*people[1]}) > 2


def test_a_correction_that_is_masked(made: list[EvaluationExample]) -> None:
    """An example is left out if masking hides the only difference of its outputs."""
    example = attrs.evolve(made[0], output="Call 030 9018 2012", approved_output="Call 030 9018 2013")
    assert mask_pii.to_masked_row(example, None) is None


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("Write to jo.doe+x@mail.example.com, please", "Write to <email>, please"),
        ({"a": ["+49 (30) 901820-12", 7, None]}, {"a": ["<number>", 7, None]}),
        ("4111 1111 1111 1111 or 030/9018-2012.", "<number> or <number>."),
        ("3f2b8a44-0c7e-4f0f-b6a5-000000000000, 19.99 EUR, order 4711", None),
        ({"user_id": 1}, {"user_id": mask_pii.pseudonym("1")}),
    ],
)
def test_masks(value: Any, masked: Any) -> None:
    """Personal data with a known form is replaced in any depth; ids and prices stay."""
    assert mask_pii.mask(value) == (value if masked is None else masked)


SHAPES: dict[str, Any] = {
    "gemini": lambda row: {turn["role"]: turn["parts"][0]["text"] for turn in row["contents"]},
    "bedrock": lambda row: {turn["role"]: turn["content"][0]["text"] for turn in row["messages"]},
    "kto": lambda row: {turn["role"]: turn["content"] for turn in row["prompt"] + row["completion"]},
    "deepeval": lambda row: {"user": row["input"], "expected": row["expected_output"]},
    "promptfoo": lambda row: {"user": row["vars"]["input"], "expected": as_text(row["assert"][0]["value"])},
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_in_the_readme(made: list[EvaluationExample], name: str) -> None:
    """Each function of the README writes what its table says."""
    with Artanis() as client:
        export(client, f"{name}.jsonl", format=README[name], outcomes=REVIEWED)
    rows, wanted = read(f"{name}.jsonl"), [each for each in made if each.outcome in REVIEWED]
    for row, each in zip(rows, wanted, strict=True):
        found = SHAPES[name](row)
        assert found["user"] == as_text(each.input)
        answer = found.get("model") or found.get("assistant") or found["expected"]
        assert answer == as_text(each.output if name == "kto" else each.approved_output)
        if name == "kto":
            assert row["label"] is (each.outcome == "accepted")
    systems = ["system" in str([*row, *(turn.get("role") for turn in row.get("prompt", []))]) for row in rows]
    assert name in ("deepeval", "promptfoo") or systems == [each.prompt_version_id is not None for each in wanted]


def test_readers_of_arrow(made: list[EvaluationExample]) -> None:
    """pandas, polars, DuckDB and datasets read the table, and the Parquet file, with its types."""
    arrow, count = to_arrow(made), len(made)
    with Artanis() as client:
        export(client, "set.parquet")
    for frame in (arrow.to_pandas(), pd.read_parquet("set.parquet")):
        assert (len(frame), str(frame["created_at"].dtype)) == (count, "datetime64[us, UTC]")
    for polars in (pl.from_arrow(arrow), pl.read_parquet("set.parquet")):
        assert isinstance(polars, pl.DataFrame)
        assert (polars.height, polars["created_at"].dtype) == (count, pl.Datetime("us", "UTC"))
        assert polars["feedback"].dtype == pl.List(pl.String)
    steps = sorted({each.step_id for each in made})
    for source in ("arrow", "'set.parquet'"):
        assert duckdb.execute(f"SELECT DISTINCT step_id FROM {source} ORDER BY ALL").fetchall() == [
            (step,) for step in steps
        ]
    for dataset in (datasets.Dataset(arrow), datasets.Dataset.from_parquet("set.parquet")):
        assert dataset.num_rows == count
