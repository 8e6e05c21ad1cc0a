"""Evaluation sets as files: `export` and `aexport`.

Each trace that is read is written to a journal beside the file. When all have been read, the file is written from the
journal in the order of the list, and replaces the old one. So the old file stays intact until the new one is complete,
and a later export can continue an interrupted one.
"""

# No `from __future__ import annotations`: attrs would copy the annotations to __init__ as strings, which
# typing.get_type_hints cannot resolve there.

import errno
import hashlib
import json
import os
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import aclosing, closing, contextmanager, suppress
from datetime import date
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal
from uuid import UUID

import attrs

from artanis_api.models import Prompt, Trace

from .._client import Artanis, AsyncArtanis, project_of
from .._errors import APIResponseValidationError, APIStatusError, ArtanisError, printable
from .._files import replace_file, replacing
from .._progress import OnProgress, Progress, check_on_progress
from .._version import __version__
from ..bulk import AsyncDetails, Window, aread_prompts, details, read_prompts
from ._examples import EvaluationExample, check_steps
from ._formats import OUTCOMES, Format, FormatFunction, Render
from ._journal import Journal, Skipped, foreign_file_error, now
from ._outcomes import Outcome
from ._request import ExportRequest

if TYPE_CHECKING:
    from ._parquet import Rows

_MANIFEST = {"kind": "artanis-client export", "version": 1}


class EmptyExportError(ArtanisError):
    """No examples match, and `fail_if_empty` was passed."""


@attrs.frozen(kw_only=True)
class ExportReport:
    """What an export has written."""

    path: Path
    """The file."""
    manifest: Path
    """The JSON file beside it that describes the export and lists the traces."""
    examples: int
    """The number of examples in the file."""
    outcomes: dict[Outcome, int]
    """The number of examples with each outcome."""
    traces: int
    """The number of traces in the project between `since` and `until`."""
    read: int
    """The number of traces that this run read. The others came from an earlier run."""
    skipped: tuple[Skipped, ...]
    """The traces and spans that could not be exported."""
    left_out: int
    """The number of examples for which the format function returned None, or which `require_prompt` left out."""
    unfilled: dict[str, int]
    """The number of rows that contain a placeholder of the prompt, by its name."""
    notes: tuple[str, ...]
    """What may be unintended: a file for training that mixes several steps although `steps` was not passed."""


def export(
    client: Artanis,
    path: str | os.PathLike[str],
    *,
    project_slug: str | None = None,
    project_id: str | UUID | None = None,
    format: Format | FormatFunction | None = None,  # noqa: A002
    outcomes: Iterable[Outcome | str] | None = None,
    steps: Iterable[str] | None = None,
    where: Callable[[EvaluationExample], object] | None = None,
    since: date | str | None = None,
    until: date | str | None = None,
    encoding: Literal["utf-8", "utf-8-sig"] = "utf-8",
    metadata: bool = True,
    render: Render | None = None,
    require_prompt: bool = False,
    fail_if_empty: bool = False,
    concurrency: int = 16,
    resume: bool = False,
    recheck: Literal["all", "unreviewed"] = "all",
    on_error: Literal["raise", "skip"] = "raise",
    on_progress: OnProgress | None = None,
) -> ExportReport:
    """Write the evaluation examples of a project's traces to a file, newest trace first.

    The file appears, or replaces an older one, when it is complete. Until then the traces read so far are in
    `<path>.partial`, which stays there if the export fails or is killed. `<path>.manifest.json` describes the file. A
    bind-mounted file, such as one in a container, cannot be replaced: it is written in place, with a warning.

    Args:
        client: The client to read with.
        path: The file to write. Its suffix gives the format unless `format` is passed.
        format: One of the formats below, or a function that gets an example and the content of its prompt version and
            returns a JSON object, which becomes a line, or None to leave the example out. The content is None if the
            span used no prompt version, or one that no longer exists.
        project_slug, project_id, since, until: As for `client.traces.list`.
        outcomes, steps: As for `examples`.
        where: Export only the examples for which this function returns true.
        encoding: "utf-8-sig" starts a CSV file with a byte order mark, which spreadsheets need to read it as UTF-8.
        metadata: Whether rows of the format chat have a key `metadata`. TRL, Axolotl and Together ignore it. Fireworks
            does not document further keys, and others may refuse them: pass False for these.
        render: A function that gets the content of a prompt version and the input of the span, and returns the system
            message with the placeholders filled. Without it, chat and preference warn of prompts that contain
            placeholders such as `{name}` or `{{name}}`, because a model should not be trained on an unfilled template.
        require_prompt: Leave out examples without a prompt.
        fail_if_empty: Raise an error instead of writing a file without examples.
        concurrency, on_error, on_progress: As for `client.traces.iter`. "skip" also skips prompts that have been
            deleted since they were listed, and the spans that used them.
        resume: Continue an interrupted export with the same arguments: read only the traces that are missing from
            `<path>.partial`, or have been updated since. False starts over.
        recheck: "all" reads every trace. "unreviewed" keeps from the existing file the traces that were completely
            reviewed when it was written and have not been updated since. This misses later changes to a completed
            review (another approved output, a further comment), because Artanis does not change `updatedAt` then. If
            the file was edited, or exported with other arguments, every trace is read. Either way, a trace is read
            again if one of its spans was skipped.

    Formats:
        jsonl: Each example as a line, as `EvaluationExample.to_dict` returns it.
        csv: The same as a table, with free JSON as JSON text. Text that a spreadsheet could take for a formula starts
            with an apostrophe: remove one from what starts with apostrophes and `=`, `+`, `-`, `@`, a tab or a line
            end (or a full-width form of the signs).
        parquet: The same as a table with typed columns, as `to_arrow` returns it. Text that is not valid Unicode is
            escaped. Rows are written in groups of up to 10,000 or 16 MiB. Needs the extra `parquet`.
        chat: For each reviewed span a conversation `{"messages": [system, user, assistant], "metadata": {…}}`: the
            prompt version, the input and the approved output. The metadata are `trace_id`, `span_id`, `step_id`,
            `prompt_version_id` and `outcome`. TRL (huggingface.co/docs/trl/dataset_formats), Together
            (docs.together.ai/docs/fine-tuning/data-preparation), Fireworks
            (docs.fireworks.ai/fine-tuning/fine-tuning-models) and Axolotl train on messages.
        preference: For each corrected span `{"prompt": [system, user], "chosen": [assistant], "rejected":
            [assistant]}` with the approved and the original output, for preference training with TRL and others
            (huggingface.co/docs/trl/dataset_formats#preference).

        Messages have a `role` and a `content`, which is JSON text if the value is not a string. A span without a prompt
        version has no system message; one whose prompt version no longer exists is skipped.

    Raises:
        ValueError, TypeError: If an argument is invalid, a step is in neither the prompts nor any trace read, or the
            partial file belongs to another export. With a format function, `where` or `render`, this includes `resume`
            and `recheck="unreviewed"`, which reuse finished rows.
        ImportError: If the format is parquet, but the extra `parquet` is not installed.
        OSError: If the file cannot be written, or a file beside it has the name of the partial file or the manifest
            but was not written by an export.
        ArtanisError: If the list, a prompt or a trace cannot be read, if every trace was skipped, if there are no
            examples and `fail_if_empty` is true, or if another export is writing to the path.
    """
    client.api.get_httpx_client()  # raises TypeError for an AsyncArtanis
    project = project_of(client, project_slug, project_id)
    request = ExportRequest(
        client,
        project,
        path,
        format=format,
        outcomes=outcomes,
        steps=steps,
        where=where,
        since=since,
        until=until,
        encoding=encoding,
        metadata=metadata,
        render=render,
        require_prompt=require_prompt,
    )
    journal = Journal(request.path)
    note_progress = partial(_note_progress, journal, check_on_progress(on_progress))
    window = Window(concurrency, on_error, note_progress)
    with journal:
        _begin(request, journal, resume, recheck)
        listed = _remove_duplicates(client.traces.list(**project, since=since, until=until))
        skip = on_error == "skip"
        prompts = read_prompts(client, project, skip_missing=skip) if request.needs_prompts else []
        contents = {version.id: version.content for _, history in prompts for version in history.versions}
        with closing(details(client.api, partial(journal.missing, listed), window)) as found:
            for detail in found:
                journal.add(request.make_entry(detail, contents))
        _check_any_read(journal, listed)
        if not journal.steps.issuperset(request.steps or ()):
            _check_steps(request, journal, client.prompts.list(**project))
        report = _finish(request, journal, listed, fail_if_empty)
    _warn_of_placeholders(report)
    return report


async def aexport(
    client: AsyncArtanis,
    path: str | os.PathLike[str],
    *,
    project_slug: str | None = None,
    project_id: str | UUID | None = None,
    format: Format | FormatFunction | None = None,  # noqa: A002
    outcomes: Iterable[Outcome | str] | None = None,
    steps: Iterable[str] | None = None,
    where: Callable[[EvaluationExample], object] | None = None,
    since: date | str | None = None,
    until: date | str | None = None,
    encoding: Literal["utf-8", "utf-8-sig"] = "utf-8",
    metadata: bool = True,
    render: Render | None = None,
    require_prompt: bool = False,
    fail_if_empty: bool = False,
    concurrency: int = 16,
    resume: bool = False,
    recheck: Literal["all", "unreviewed"] = "all",
    on_error: Literal["raise", "skip"] = "raise",
    on_progress: OnProgress | None = None,
) -> ExportReport:
    """Like `export`, for `AsyncArtanis`."""
    from anyio.to_thread import run_sync

    client.api.get_async_httpx_client()  # raises TypeError for an Artanis
    project = project_of(client, project_slug, project_id)
    request = ExportRequest(
        client,
        project,
        path,
        format=format,
        outcomes=outcomes,
        steps=steps,
        where=where,
        since=since,
        until=until,
        encoding=encoding,
        metadata=metadata,
        render=render,
        require_prompt=require_prompt,
    )
    journal = Journal(request.path)
    note_progress = partial(_note_progress, journal, check_on_progress(on_progress))
    window = Window(concurrency, on_error, note_progress)
    with journal:
        await run_sync(_begin, request, journal, resume, recheck)
        listed = _remove_duplicates(await client.traces.list(**project, since=since, until=until))
        skip = on_error == "skip"
        prompts = await aread_prompts(client, project, skip_missing=skip) if request.needs_prompts else []
        contents = {version.id: version.content for _, history in prompts for version in history.versions}

        async def missing() -> list[str]:
            return journal.missing(listed)

        async with aclosing(AsyncDetails(client.api, missing, window)) as found:
            async for detail in found:
                journal.add(request.make_entry(detail, contents))
        _check_any_read(journal, listed)
        if not journal.steps.issuperset(request.steps or ()):
            _check_steps(request, journal, await client.prompts.list(**project))
        report = await run_sync(_finish, request, journal, listed, fail_if_empty)
    _warn_of_placeholders(report)
    return report


def _note_progress(journal: Journal, on_progress: OnProgress | None, progress: Progress) -> None:
    """Count a trace that was read or skipped, and call the function that was passed to `export`."""
    journal.read = progress.done - progress.skipped
    if progress.error is not None:
        journal.skipped.append(Skipped(progress.trace_id, None, str(progress.error)))
        journal.causes[_cause_of(progress.error)] += 1
        journal.last_error = progress.error
    if on_progress is not None:
        on_progress(progress)


def _cause_of(error: ArtanisError) -> str:
    """Return why a trace was skipped, in words that are the same for all traces with the same problem."""
    if isinstance(error, APIResponseValidationError):
        return f"{error.path or 'the body'} {error.problem}"
    return f"{error.status_code} {printable(error.message)}" if isinstance(error, APIStatusError) else str(error)


def _begin(request: ExportRequest, journal: Journal, resume: bool, recheck: str) -> None:
    """Open the journal, and fill it with the traces that need not be read again."""
    path = request.path
    if recheck not in ("all", "unreviewed"):
        raise ValueError(f'recheck must be "all" or "unreviewed", not {recheck!r}.')
    if request.has_functions and (resume or recheck == "unreviewed"):
        raise ValueError(
            'resume=True and recheck="unreviewed" reuse finished rows, so they do not work with functions: '
            "remove them, or the format function, where and render."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "The directory to write to does not exist", str(path.parent))
    for written in (request.given_path, request.manifest_path):  # the real path of a pipe does not exist
        with suppress(FileNotFoundError):
            written.lstat()  # raises OSError if the name is too long
        if written.exists() and not written.is_file():
            raise IsADirectoryError(errno.EISDIR, "The path to export to is not a file", str(written))
        if written.exists() and not os.access(written, os.W_OK):
            raise PermissionError(errno.EACCES, "The existing file is write-protected", str(written))
    with suppress(FileNotFoundError), request.manifest_path.open("rb") as file:
        if (start := file.read(65536)) and not re.search(rb'"kind"\s*:\s*"artanis-client export"', start):
            raise foreign_file_error(request.manifest_path)
    is_resumed = journal.open(request.header, resume)
    if recheck == "unreviewed" and not is_resumed:
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            _reuse_file(request, journal)


def _reuse_file(request: ExportRequest, journal: Journal) -> None:
    """Copy the completely reviewed traces from the existing file to the journal, unless its manifest does not match."""
    manifest = json.loads(request.manifest_path.read_bytes())
    if manifest.items() >= {**_MANIFEST, **request.header, "sha256": _digest(request.path)}.items():
        for entry, text in _read_entries(request, manifest["traces"]):
            if entry["is_reviewed"] and not entry["skipped"]:
                journal.add({**entry, "text": text})


def _read_entries(request: ExportRequest, entries: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the entry of each trace in the existing file, with its rows."""
    if request.format == "parquet":
        from ._parquet import read_rows

        rows = read_rows(request.path)
        for entry in entries:
            yield entry, "".join(islice(rows, sum(entry["outcomes"].values())))
        return
    with request.path.open("rb") as file:
        file.seek(len(request.heading))
        for entry in entries:
            yield entry, file.read(entry["bytes"]).decode()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove_duplicates(listed: Iterable[Trace]) -> list[Trace]:
    return [*{trace.id: trace for trace in listed}.values()]


def _check_any_read(journal: Journal, listed: Sequence[Trace]) -> None:
    """Raise ArtanisError if every trace was skipped."""
    if listed and not any(trace.id in journal for trace in listed):
        causes = ", ".join(f"{count} x {cause}" for cause, count in journal.causes.most_common(5))
        more = ", and others" if len(journal.causes) > 5 else ""
        raise ArtanisError(
            f"All {len(listed)} traces were skipped, so nothing was written: {causes}{more}."
        ) from journal.last_error


def _check_steps(request: ExportRequest, journal: Journal, prompts: Iterable[Prompt]) -> None:
    """Raise ValueError if a step is in neither the journal nor the prompts; then there is nothing to resume."""
    try:
        check_steps(request.steps or (), journal.steps | {prompt.step_id for prompt in prompts})
    except ValueError:
        journal.remove()
        raise


def _finish(request: ExportRequest, journal: Journal, listed: Sequence[Trace], fail_if_empty: bool) -> ExportReport:
    """Write the file and its manifest, and remove the journal."""
    with replacing(request.path, temporary=journal.temporary.name) as file:
        report, manifest = _write(request, journal, listed, file)
        if fail_if_empty and not report.examples:
            journal.remove()
            raise EmptyExportError(f"No examples match in {len(listed)} traces, so nothing was written.")
    # If the process is killed here, the old manifest does not match the new file and is not used, and the journal can
    # still be resumed.
    replace_file(request.manifest_path, manifest.encode())
    shutil.copymode(request.path, request.manifest_path)
    journal.remove()
    return report


def _note_mixed_steps(request: ExportRequest, steps: list[str]) -> tuple[str, ...]:
    if len(steps) < 2 or request.steps is not None or request.format not in OUTCOMES:
        return ()
    found = ", ".join(steps)
    return (f"The rows come from {len(steps)} steps: {found}. Choose those to train on (steps=…, or --step).",)


def _warn_of_placeholders(report: ExportReport) -> None:
    if report.unfilled:
        names = ", ".join(f"{name} in {count} rows" for name, count in [*report.unfilled.items()][:10])
        more = ", and others" if len(report.unfilled) > 10 else ""
        text = f"The prompts contain unfilled placeholders: {names}{more}. In Python, export(render=…) fills them."
        warnings.warn(text, stacklevel=3)


@contextmanager
def _row_writer(request: ExportRequest, file: IO[bytes]) -> "Generator[IO[bytes] | Rows]":
    """Yield what writes rows to the file in its format."""
    if request.format == "parquet":
        from ._parquet import parquet_writer

        with parquet_writer(file) as rows:
            yield rows
    else:
        file.write(request.heading)
        yield file


def _write(
    request: ExportRequest, journal: Journal, listed: Sequence[Trace], file: IO[bytes]
) -> tuple[ExportReport, str]:
    """Write the file; return the report and the text of the manifest."""
    counts: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    unfilled: Counter[str] = Counter()
    left_out = 0
    skipped = journal.skipped.copy()
    traces: list[str] = []
    with _row_writer(request, file) as rows:
        for trace in listed:
            if (entry := journal.get(trace.id)) is None:
                continue  # it was skipped
            content = entry.pop("text").encode("utf-8", "backslashreplace")  # JSON escapes lone surrogates the same way
            rows.write(content)
            counts.update(entry["outcomes"])
            steps.update(entry["steps"])
            unfilled.update(entry["unfilled"])
            left_out += entry["left_out"]
            skipped += [Skipped(trace.id, span_id, reason) for span_id, reason in entry["skipped"]]
            size = {} if request.format == "parquet" else {"bytes": len(content)}
            traces.append(json.dumps(entry | size))
    file.flush()
    report = ExportReport(
        path=request.path,
        manifest=request.manifest_path,
        examples=counts.total(),
        outcomes={outcome: counts[outcome] for outcome in Outcome},
        traces=len(listed),
        read=journal.read,
        skipped=tuple(skipped),
        left_out=left_out,
        unfilled=dict(sorted(unfilled.items())),
        notes=_note_mixed_steps(request, sorted(step for step in steps if steps[step])),
    )
    fields = {
        **_MANIFEST,
        "client": f"artanis-client/{__version__}",
        "started_at": journal.started_at,
        "finished_at": now(),
        **request.header,
        **request.dates,
        "examples": report.examples,
        "counts": report.outcomes,
        "left_out": left_out,
        "unfilled": report.unfilled,
        "skipped": [attrs.asdict(each) for each in skipped],
        "sha256": _digest(Path(file.name)),
    }
    # One line per field and one per trace, so that manifests can be read and compared.
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in fields.items()]
    lines.append('"traces": [\n    ' + ",\n    ".join(traces) + "\n  ]")
    return report, "{\n  " + ",\n  ".join(lines) + "\n}\n"
