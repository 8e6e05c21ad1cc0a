"""The command `artanis`: in processes, pipes and pseudo-terminals, and in this process where they show nothing more."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import select
import shlex
import shutil
import signal
import socket
import ssl
import stat
import struct
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Self

import attrs
import click
import jsonschema
import pytest
import trustme
from rich.cells import cell_len

from artanis_api.models import TraceDetail
from artanis_client import Artanis, CredentialsError, _clock, export
from artanis_client._client import Traces
from artanis_client._files import warn_once
from artanis_client.cli import _doctor
from artanis_client.cli._app import artanis, run
from artanis_client.cli._auth import _Profile
from artanis_client.cli._options import State
from artanis_client.report import _corrections
from artanis_client.sandbox import Sandbox
from support import (
    KEY,
    LIMIT,
    NOW,
    PROMPT,
    Answer,
    Request,
    Server,
    everything_shown,
    ids,
    serve,
    span,
    trace,
    unmeasured,
    wait_until,
)

COMMAND = (sys.executable, "-m", "artanis_client.cli")
TAKE_THE_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
ONE_COMMAND = "from artanis_client.cli import main; main()"
MANY_COMMANDS = """
import json, os, sys
from artanis_client.cli._app import run
for line in os.fdopen(int(sys.argv[1])):
    arguments, environment = json.loads(line)
    os.environ.clear()
    os.environ.update(environment)
    print(f"\\x1e{run(arguments)}\\x1e", flush=True)
"""
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\x7f\r"
WIDE = "注文はどこですか 🚚 " * 20
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

needs_a_pseudo_terminal = pytest.mark.skipif(sys.platform == "win32", reason="there is none")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(traces=20, now=NOW) as sandbox:
        yield sandbox


@pytest.fixture
def at_sandbox(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    return sandbox


@pytest.fixture
def at_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    for name, value in server.credentials.items():
        monkeypatch.setenv(f"ARTANIS_{name.upper()}", value)
    monkeypatch.setattr(_clock, "sleep", lambda _: None)
    return server


@pytest.fixture(autouse=True)
def patient_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine, connecting and responding may take longer than the doctor allows."""
    monkeypatch.setattr(_doctor, "CONNECT_TIMEOUT", LIMIT)
    monkeypatch.setattr(_doctor, "MAX_SKEW", LIMIT)


@attrs.frozen
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Result]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command line in this process, with pipes as its streams."""

    def call(*arguments: object, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = run([*map(str, arguments)])
        return Result(code, *capfd.readouterr())

    return call


def process(*arguments: object, **environment: str) -> Result:
    """Run a command line in another process, with pipes as its streams."""
    result = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )
    return Result(result.returncode, result.stdout, result.stderr)


class Terminal:
    """Python code that runs in a pseudo-terminal."""

    def __init__(self, code: str, *arguments: object, environment: dict[str, str], **options: Any) -> None:
        import pty

        self.master, slave = pty.openpty()
        self.resize(80)
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_THE_TERMINAL + code, *map(str, arguments)],
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            **options,
        )
        os.close(slave)
        self._bytes = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, which after a failure may be anywhere."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)

    @property
    def shown(self) -> str:
        return self.raw.decode(errors="replace")

    @property
    def raw(self) -> bytes:
        return self._bytes

    def resize(self, columns: int) -> None:
        import fcntl
        import termios

        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def read(self, until: str | None = None) -> str:
        """Everything that is shown until a text is, or to the end."""
        deadline = time.monotonic() + LIMIT
        while until is None or until not in self.shown:
            assert select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))[0], self.shown[-1000:]
            assert time.monotonic() < deadline, self.shown[-1000:]
            try:
                chunk = os.read(self.master, 65536)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                chunk = b""
            if not chunk:
                assert until is None, self.shown[-1000:]
                break
            self._bytes += chunk
        return self.shown

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> tuple[int, str]:
        shown = self.read()
        return self.process.wait(LIMIT), shown.replace("\r\n", "\n")


class Session(Terminal):
    """Run one command line after another in one process, because starting Python takes longer than any of them."""

    def __init__(self) -> None:
        commands, self.commands = os.pipe()
        super().__init__(MANY_COMMANDS, commands, environment=with_a_terminal(), pass_fds=[commands])
        os.close(commands)

    def run(self, arguments: Sequence[object], columns: int, environment: dict[str, str]) -> tuple[int, str]:
        self._bytes = b""
        self.resize(columns)
        os.write(self.commands, json.dumps([[*map(str, arguments)], environment]).encode() + b"\n")
        shown, status, _ = self.read(until="\x1e\r\n").split("\x1e")
        return int(status), shown.replace("\r\n", "\n")

    def end(self) -> tuple[int, str]:
        os.close(self.commands)
        return super().end()


def with_a_terminal(**variables: str) -> dict[str, str]:
    """Return the environment of a process in a terminal that shows colours."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return {**inherited, "TERM": "xterm-256color", "NO_COLOR": "", "PYTHONUTF8": "1", **variables}


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session() as session:
        yield session
        assert session.end()[0] == 0


OnTerminal = Callable[..., tuple[int, str]]


@pytest.fixture
def on_terminal(session: Session) -> OnTerminal:
    """Run a command line in a pseudo-terminal; return its exit status and what it shows."""

    def call(*arguments: object, columns: int = 80, **environment: str) -> tuple[int, str]:
        return session.run(arguments, columns, with_a_terminal(**environment))

    return call


# Start


def test_help(cli: Cli) -> None:
    """The help lists every command, and explains the exit statuses."""
    result = process("--help")
    assert (result.code, result.err) == (0, "")
    assert {*re.findall(r"^  ([a-z]+)  ", result.out, re.MULTILINE)} >= {"traces", "doctor", "auth"}
    assert "\n  5 the API or the network, 130 interrupted.\n" in result.out
    assert cli().out == result.out


def test_version(cli: Cli) -> None:
    """`--version` prints the version."""
    assert cli("--version").out.startswith("artanis, version ")


def test_commands_are_loaded_when_they_run() -> None:
    """The main help imports no command, and a command imports no other; only editing TOML imports tomlkit."""
    code = """
import sys
from artanis_client.cli._app import run
for command in sys.argv[1:]:
    run(command.split())
    print(*sys.modules, file=sys.stderr)
"""
    command = [sys.executable, "-c", code, "--help", "traces --help"]
    shown = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stderr
    of_all, of_one = (
        {name for name in line.split() if name.startswith("artanis_client.cli._") or name == "tomlkit"}
        for line in shown.splitlines()
    )
    shared = {f"artanis_client.cli.{name}" for name in ("_app", "_exit_codes", "_messages", "_options")}
    shared |= {"artanis_client.cli._output", "artanis_client.cli._streams"}
    assert of_all == shared
    assert of_one - of_all == {"artanis_client.cli._traces"}


def test_no_other_folder_imports_the_command_line() -> None:
    """The library works without the command line; only exit codes and stream handling are shared."""
    package = Path(sys.modules["artanis_client"].__file__ or "").parent
    for path in package.rglob("*.py"):
        if path.parent.name != "cli":
            imported = re.findall(r"(?:from|import) \.*(cli\b[a-z_.]*)", path.read_text(encoding="utf-8"))
            assert {*imported} <= {"cli._exit_codes", "cli._streams"}, path


@pytest.mark.parametrize("missing", ["click", "rich", "tomlkit"])
def test_without_the_extra(missing: str, at_sandbox: Sandbox) -> None:
    """When a package of the extra is first needed and missing, one line says what to install."""
    command = {"click": "--help", "rich": "traces show", "tomlkit": "auth logout"}[missing].split()
    with Artanis() as client:
        ids = [client.traces.list()[0].id] if missing == "rich" else []
    code = f"import sys; sys.modules[{missing!r}] = None; from artanis_client.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code, *command, *ids], capture_output=True, encoding="utf-8")
    assert result.returncode == 2
    assert result.stderr == "artanis: the command line needs an extra: pip install 'artanis-client[cli]'\n"


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


def test_help_of_every_command(cli: Cli) -> None:
    """Each help text has two examples that can be parsed, names variables, and cuts nothing."""
    for path, command in [*commands(artanis), *(((name,), artanis) for name in ("", "auth", "prompts", "traces"))]:
        for columns in ("40", "80"):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("COLUMNS", columns)
                shown = cli(*filter(None, path), "--help").out
            assert "..." not in shown.replace("[ARGS]...", "").replace("COMMAND [ARGS]", ""), path
            lines = [line.strip() for line in shown.partition("Examples:\n")[2].splitlines()]
            assert len(lines) == 2, path
        variables = {"ARTANIS_ORG_SLUG", "ARTANIS_PROJECT_SLUG", "ARTANIS_BASE_URL"}
        assert ("--org" in shown) == (variables <= {*re.findall("[A-Z_]{9,}", shown)})
        for line in lines:
            words = re.split(r" [<>|] ?", line)[0].split()
            assert words[0] == "artanis"
            parse(words[1:])
        assert command.help
    assert "ARTANIS_API_KEY" in cli("--help").out


def parse(words: list[str]) -> None:
    """Parse a command line without running it; raise a UsageError if it is wrong."""
    command: click.Command = artanis
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None
        command = found
    command.make_context("artanis", words, obj=State()).close()


COMMON = (
    *(("--profile", "none"), ("--org", "sandbox-org"), ("--project", "support-chat"), ("--timeout", "50"), ("--json",)),
    *(("--max-retries=3",), ("--base-url=http://example.com", "--debug"), ("--project-id=x", "--allow-http")),
)


@pytest.mark.parametrize("options", COMMON, ids=lambda options: str(options[0]))
def test_common_options_anywhere(options: tuple[str, ...], cli: Cli, at_server: Server) -> None:
    """Options that all commands share work before and after the command, and between the names of a group and one."""
    at_server.answer(404, {"error": "x"})
    places = [[*options, "prompts", "list"], ["prompts", *options, "list"], ["prompts", "list", *options]]
    results = [cli(*place) for place in places]
    assert results[0].code in (3, 4)
    assert {re.sub("Traceback.*", "", result.err, flags=re.DOTALL) for result in results} == {
        re.sub("Traceback.*", "", results[2].err, flags=re.DOTALL)
    }


def test_options_of_some_commands(cli: Cli, at_sandbox: Sandbox) -> None:
    """A later option wins; an option that a command lacks is refused wherever it is; `--json` twice is no conflict."""
    assert cli("--project", "nothing", "prompts", "list", "--project", at_sandbox.project_slug).code == 0
    assert cli("--json", "prompts", "--json", "list", "--json").json
    for wrong in (["--project", "x", "completion", "bash"], ["auth", "--org", "x", "logout"]):
        assert "No such option" in cli(*wrong).err
    assert cli("--project").err.startswith("artanis: Option '--project' requires an argument.")
    assert cli("--json", "prompts").err.startswith("artanis: Missing command.")
    assert cli("--json", "--help").out == cli("--help").out


def test_max_retries(cli: Cli, at_server: Server) -> None:
    """`--max-retries` says how often a failed request is repeated."""
    at_server.answer(503)
    for retries in (0, 3):
        at_server.requests.clear()
        assert cli("prompts", "list", "--max-retries", retries).code == 5
        assert len(at_server.requests) == 1 + retries


def test_since_an_age(cli: Cli, at_server: Server) -> None:
    """`--since 30d` and `2w` count whole days, `12h` hours, and anything else is a usage error."""
    now = datetime.now(UTC)
    ages = {"now": 0, "13h": 13, "3d": 72, "40d": 960}
    traces = [trace(id=name, createdAt=(now - timedelta(hours=age)).isoformat()) for name, age in ages.items()]
    at_server.answer(body={"traces": traces})

    def found(*options: str) -> list[str]:
        return [each["id"] for each in cli("traces", "list", "--jsonl", *options).lines]

    assert found("--since", "12h") == ["now"]
    assert found("--since", "3d") == found("--since", "5w") == ["now", "13h", "3d"]
    assert found("--since", "30d", "--until", "2d") == ["3d"]
    assert found("--since", "40d") == [*ages]
    for wrong in ("30", "d", "3 d", "-3d", "3m", "999999w"):
        assert cli("traces", "list", f"--since={wrong}").code == 2


@needs_a_pseudo_terminal
def test_a_long_list(on_terminal: OnTerminal, cli: Cli, at_server: Server) -> None:
    """A terminal shows 20 traces and says how many more there are; a pipe and JSON have all, `--limit` changes it."""
    at_server.answer(body={"traces": [trace(id=trace_id) for trace_id in ids(23)]})
    lines = on_terminal("traces", "list")[1].splitlines()
    assert len(lines) == 22
    assert lines[-1] == "3 older traces are not shown. Pass --limit 23 to see all."
    assert len(on_terminal("traces", "list", "--limit", "23")[1].splitlines()) == 24
    assert len(json.loads(on_terminal("traces", "list", "--json")[1])) == 23
    assert cli("traces", "list").out.count("\n") == 24
    limited = cli("traces", "list", "--limit", "5")
    assert (limited.out.count("\n"), limited.err) == (6, "")


def test_every_command_has_output_for_programs() -> None:
    """Every command has `--json`, `--jsonl` and `--debug`; no option takes the key; every option has a help text."""
    found = dict(commands(artanis))
    assert len(found) == 17
    for path, command in found.items():
        options = {name for parameter in command.params for name in parameter.opts}
        if path != ("completion",):
            assert {"--json", "--jsonl", "--debug"} <= options, path
        assert not {"--key", "--api-key"} & options
        assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option)), path
        assert command.help


# Data


@pytest.mark.parametrize(
    "command",
    [
        "prompts list",
        "prompts versions classify",
        "traces list",
        "report",
        "report --weekly",
        "auth status",
        "contract",
    ],
)
def test_output(command: str, cli: Cli, at_sandbox: Sandbox) -> None:
    """`--json` prints one document, `--jsonl` each of its objects on a line, and a pipe gets tab-separated lines."""
    as_json, as_jsonl, plain = (cli(*command.split(), *option) for option in (["--json"], ["--jsonl"], []))
    # The check exits with 1 if the sandbox lacks a documented operation, of which a test of the sandbox tells.
    code = plain.code if command == "contract" else 0
    assert [as_json.code, as_jsonl.code, plain.code] == [code] * 3
    document = as_json.json
    if isinstance(document, dict):
        key = {"report": "versions", "report --weekly": "weeks", "auth status": "values", "contract": "operations"}
        document = document[key[command]]
    assert document == as_jsonl.lines
    assert document
    if command != "contract":
        header, *lines = plain.out.splitlines()
        assert len(lines) == len(document)
        assert {line.count("\t") for line in lines} == {header.count("\t")}


def test_what_the_lists_hold(cli: Cli, at_sandbox: Sandbox) -> None:
    """`--json` and `--jsonl` print every object, the newest first."""
    with Artanis() as client:
        assert [each["id"] for each in cli("prompts", "list", "--json").json] == [p.id for p in client.prompts.list()]
        traces = client.traces.list()
    assert [each["id"] for each in cli("traces", "list", "--jsonl").lines] == [trace.id for trace in traces]
    assert [each["id"] for each in cli("traces", "list", "--json", "--limit", "3").json] == [t.id for t in traces[:3]]
    since = traces[4].created_at.isoformat()
    assert len(cli("traces", "list", "--jsonl", "--since", since).lines) == 5
    assert cli("traces", "list", "--since", "2030").err == "No traces match.\n"


def test_objects_are_those_of_the_api(cli: Cli, at_server: Server) -> None:
    """Objects of the API are printed as it sent them, with fields that the contract lacks; timestamps end in Z."""
    version = {"id": "v", "content": "x", "isActive": True, "createdAt": PROMPT["createdAt"], "author": {"new": [1]}}
    comment = {"id": "f", "spanId": "s", "userId": "u", "content": "!", "createdAt": "2026-04-08T09:00:00.123Z"}
    metadata = {"createdAt": "2026-04-08T11:00:00+02:00", "versions": [{"updatedAt": "never"}]}  # not ours to change
    detail = trace(metadata=metadata, score=1, spans=[span(metadata=metadata)], feedback=[comment])
    bodies: dict[str, Any] = {
        "/api/traces": {"traces": [trace(metadata=metadata, score=1)]},
        "/api/prompts": {"prompts": [PROMPT]},
        f"/api/prompts/{PROMPT['id']}": {**PROMPT, "versions": [version]},
        "/api/traces/any": detail,
    }
    at_server.answers = [lambda request: Answer(body=bodies[request.path.partition("?")[0]])]
    assert cli("traces", "list", "--json").json == bodies["/api/traces"]["traces"]
    assert cli("prompts", "list", "--jsonl").lines == [PROMPT]
    assert cli("prompts", "versions", "classify", "--json").json == [version]
    of_prompt = {name: PROMPT[name] for name in ("stepId", "outputSchema")}
    assert cli("prompts", "show", "classify", "--json").json == {**of_prompt, **version}
    shown = cli("traces", "show", "any", "--json").json
    assert shown["spans"][0].pop("outcome") == "corrected"
    assert shown == detail
    detail["createdAt"], detail["updatedAt"] = "2026-04-08T11:00:00+02:00", "2026-04-08T09:00:00.123456Z"
    shown = cli("traces", "show", "any", "--json").json
    assert shown["createdAt"] == "2026-04-08T09:00:00.000Z"
    assert shown["updatedAt"] == "2026-04-08T09:00:00.123456Z"


SCHEMAS = Path(__file__).resolve().parents[1] / "docs" / "reference" / "schemas"
# The command lines that are checked against the schema of a command; {trace} is the id of a trace.
WITH_SCHEMA = {
    "prompts-list": ["prompts list"],
    "prompts-show": ["prompts show classify"],
    "prompts-versions": ["prompts versions classify"],
    "prompts-diff": ["prompts diff classify", "prompts diff classify --from active"],
    "prompts-pull": ["prompts pull folder", "prompts pull folder"],
    "prompts-status": ["prompts status folder", "prompts status other"],
    "traces-list": ["traces list"],
    "traces-show": ["traces show {trace}"],
    "traces-export": ["traces export set.jsonl", "traces export set.csv --step classify --skip-errors"],
    "report": ["report", "report --weekly"],
    "report-corrections": ["report --corrections", "report --corrections --link https://example.com/{{trace_id}}"],
    "contract": ["contract"],
    "doctor": ["doctor", "doctor --org nobody"],
    "auth-login": ["auth login"],
    "auth-logout": ["auth logout", "auth logout"],
    "auth-status": ["auth status", "auth status --org nobody"],
    "sandbox": [],
}


def test_every_command_has_a_schema() -> None:
    """The documentation has a JSON Schema for the output of each command."""
    names = {"-".join(path) for path, _ in commands(artanis)} - {"completion"} | {"report-corrections"}
    assert names == {path.stem for path in SCHEMAS.glob("*.json")} == {*WITH_SCHEMA}


def check_output(name: str, document: Any, lines: list[Any]) -> None:
    """Check the output of `--json` and `--jsonl` against the schema of a command."""
    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, jsonschema.Draft202012Validator)
    of_a_line = {"$schema": schema["$schema"], "$ref": "#/$defs/line", "$defs": schema["$defs"]}
    if schema["$defs"]["line"] == {"$ref": "#"}:  # the same as the document
        of_a_line = schema
    for line in lines:
        jsonschema.validate(line, of_a_line, jsonschema.Draft202012Validator)


@pytest.mark.parametrize("name", [name for name in WITH_SCHEMA if name != "sandbox"])
def test_output_matches_its_schema(
    name: str, cli: Cli, at_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command prints with `--json` and `--jsonl` is what its schema says."""
    monkeypatch.chdir(tmp_path)
    with Artanis() as client:
        ids = {"trace": client.traces.list()[0].id}
    for command in WITH_SCHEMA[name]:
        words = command.format(**ids).split()
        document = cli(*words, "--json", stdin=at_sandbox.api_key).json
        check_output(name, document, cli(*words, "--jsonl", stdin=at_sandbox.api_key).lines)


def test_a_prompt_in_a_pipe(cli: Cli, at_sandbox: Sandbox) -> None:
    """To a pipe, `prompts show` writes the text of any version unchanged; the prompt is found by its step or its id."""
    with Artanis() as client:
        history = client.prompts.get(client.prompts.list()[0].id)
    [active] = [version for version in history.versions if version.is_active]
    assert cli("prompts", "show", history.step_id).out == active.content
    assert cli("prompts", "show", history.id, "--version", "v1").out == history.versions[0].content
    newest = history.versions[-1].id
    assert cli("prompts", "show", history.step_id, "--version", "v3", "--json").json["id"] == newest
    assert cli("prompts", "show", history.step_id, "--version", newest, "--json").json["id"] == newest
    assert "no version 'v99'. It has 3" in cli("prompts", "show", history.step_id, "--version", "v99").err
    versions = [line.split("\t")[0] for line in cli("prompts", "versions", history.step_id).out.splitlines()]
    assert versions == ["version", "v1", "v2", "v3"]


def test_a_prompt_that_there_is_not(cli: Cli, at_sandbox: Sandbox) -> None:
    """A step without a prompt exits with 4, and a line that lists the existing steps."""
    result = cli("prompts", "versions", "clasify")
    assert (result.code, result.out) == (4, "")
    assert result.err.startswith("artanis: The project has no prompt for the step 'clasify'. Its steps: classify, ")


def test_diff(cli: Cli, at_sandbox: Sandbox) -> None:
    """If versions differ, the status is 1 and `patch` can read the output; if not, the status is 0 without output."""
    result = cli("prompts", "diff", "classify", "--from", "v1", "--to", "v2")
    assert (result.code, result.err) == (1, "")
    assert re.match(r"--- classify v1 [0-9a-f-]{36}\t.*\n\+\+\+ classify v2 ", result.out)
    same = cli("prompts", "diff", "classify", "--from", "v3", "--to", "active")
    assert (same.code, same.out) == (0, "")
    assert cli("prompts", "diff", "classify", "--from", "v1", "--to", "v2", "--json").json == {
        "equal": False,
        "diff": result.out,
    }


def test_pull_and_status(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` exits with 1 before a pull and 0 after it; without --force, `pull` exits with 1 to protect edits."""
    with Sandbox(traces=0) as sandbox, Artanis(**sandbox.credentials) as client:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        prompt = client.prompts.list()[0]
        folder = tmp_path / "prompts"
        before = cli("prompts", "status", folder, "--json")
        assert (before.code, before.json["pulled"], before.json["clean"]) == (1, False, False)
        pulled = cli("prompts", "pull", folder)
        assert pulled.code == 0
        assert f"written\t{prompt.step_id}.md\n" in pulled.out
        assert cli("prompts", "status", folder).code == 0
        assert cli("prompts", "pull", folder).err == "Nothing has changed.\n"
        (folder / f"{prompt.step_id}.md").write_text("mine")
        sandbox.add_version(prompt.id, "theirs")
        status = cli("prompts", "status", folder, "--jsonl")
        assert {"what": "edited", "step": prompt.step_id} in status.lines
        refused = cli("prompts", "pull", folder)
        assert (refused.code, refused.out) == (1, "")
        assert "pass --force" in refused.err
        assert (folder / f"{prompt.step_id}.md").read_text() == "mine"
        assert cli("prompts", "pull", folder, "--force", "--json").json["written"] == [f"{prompt.step_id}.md"]


def test_a_trace_for_programs(cli: Cli, at_sandbox: Sandbox) -> None:
    """`traces show --json` prints the JSON of the API, with an outcome in each span."""
    with Artanis() as client:
        detail = client.traces.get(client.traces.list()[5].id)
    found = cli("traces", "show", detail.id, "--json").json
    assert {span.pop("outcome") for span in found["spans"]} <= {"unreviewed", "accepted", "corrected"}

    assert TraceDetail.from_dict(found).to_dict() == detail.to_dict()


def test_a_trace_for_people(cli: Cli, at_server: Server) -> None:
    """Spans are shown below their parents, with input, output, the correction and the feedback."""
    root = span(id="root", stepId="handle", output="Hello\nthere", approvedOutput="Hello\nyou")
    inner = span(id="inner", parentSpanId="root", approvedOutput={"label": "other"})
    said = {"id": "f", "spanId": "inner", "userId": "u", "content": "Fine.", "createdAt": "2026-04-08T09:05:00.000Z"}
    at_server.answer(body=trace(spans=[inner, root], feedback=[said, {**said, "spanId": "lost", "content": "Lost."}]))
    result = cli("traces", "show", "any")
    assert result.err == ""
    assert result.out == (
        """\
3f2b8a44-0c7e-4f0f-b6a5-9f1c2d3e4f50  completed  2026-04-08 09:00:00 UTC
{"user_id": "user-123"}
├── handle  corrected
│   input
│     Where is my order?
│   output
│     Hello
│     there
│   correction
│     @@ -1,2 +1,2 @@
│      Hello
│     -there
│     +you
│   └── classify  accepted
│       input
│         Where is my order?
│       output
│         {
│           "label": "other"
│         }
│       feedback
│         Fine.  (u, 2026-04-08 09:05:00 UTC)
└── on a span that is not in the trace, lost
    feedback
      Lost.  (u, 2026-04-08 09:05:00 UTC)
"""
    )


def test_spans_that_are_no_tree(cli: Cli, at_server: Server) -> None:
    """Spans whose parent is missing, or is their own descendant, are shown once each."""
    parents = {"orphan": "gone", "a": "b", "b": "a", "self": "self"}
    spans = [span(id=name, parentSpanId=parent, stepId=f"step-{name}") for name, parent in parents.items()]
    at_server.answer(body=trace(spans=spans, feedback=[]))
    out = cli("traces", "show", "any").out
    assert [out.count(f"step-{name} ") for name in parents] == [1, 1, 1, 1]


@pytest.mark.filterwarnings("always")
def test_export(cli: Cli, at_sandbox: Sandbox, tmp_path: Path) -> None:
    """The file equals the one that the library writes; the summary goes to stdout, and nothing to stderr."""
    ours, theirs = tmp_path / "ours.jsonl", tmp_path / "theirs.jsonl"
    result = cli("traces", "export", ours, "--outcome", "corrected", "--step", "answer", "--json")
    with Artanis() as client:
        report = export(client, theirs, outcomes="corrected", steps="answer")
    assert ours.read_bytes() == theirs.read_bytes()
    assert (result.code, result.err) == (0, "")
    assert result.json["examples"] == report.examples > 0
    assert cli("traces", "export", ours, "--recheck", "unreviewed").out.endswith(f" of 20 traces in {ours}\n")
    assert cli("traces", "export", tmp_path / "a.csv", "--encoding", "utf-8-sig").code == 0
    assert (tmp_path / "a.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    result = cli("traces", "export", ours, "--format", "preference")
    assert result.code == 0
    assert "artanis: warning: The prompts contain unfilled placeholders: documents in " in result.err
    assert (
        "The rows come from 5 steps: answer, classify, handle, retrieve, tone. "
        "Choose those to train on (steps=…, or --step).\n" in result.err
    )
    assert ours.read_text(encoding="utf-8").startswith('{"prompt": [')
    options = ["--format", "chat", "--no-metadata", "--require-prompt", "--step", "classify", "--json"]
    result = cli("traces", "export", ours, *options)
    assert (result.code, result.err) == (0, "")
    lines = [json.loads(line) for line in ours.read_text(encoding="utf-8").splitlines()]
    assert {(*row, len(row["messages"])) for row in lines} == {("messages", 3)}


def test_export_to_stdout(cli: Cli, at_sandbox: Sandbox, tmp_path: Path) -> None:
    """`-` writes to stdout what a file would contain, and the summary to stderr."""
    for arguments, name in (([], "a.jsonl"), (["--format", "csv", "--encoding", "utf-8-sig"], "a.csv")):
        result = process("traces", "export", "-", *arguments)
        assert cli("traces", "export", tmp_path / name, *arguments).code == 0
        assert (result.code, result.err) == (0, f"{result.err.split()[0]} examples {result.err.split(maxsplit=2)[2]}")
        assert "of 20 traces\n" in result.err
        assert result.out == (tmp_path / name).read_text(encoding="utf-8")
    for option in ("--json", "--jsonl", "--resume", "--recheck=unreviewed"):
        refused = cli("traces", "export", "-", option)
        assert (refused.code, refused.out) == (2, "")
        assert "need a file" in refused.err
    assert {path.name for path in tmp_path.glob("a.*")} >= {"a.jsonl", "a.csv"}
    command = [*COMMAND, "traces", "export", "-", "--format", "parquet"]
    table = subprocess.run(command, capture_output=True, timeout=LIMIT, check=True).stdout
    assert cli("traces", "export", tmp_path / "a.parquet").code == 0
    assert table == (tmp_path / "a.parquet").read_bytes()


def test_failed_export_to_stdout(cli: Cli, at_server: Server) -> None:
    """A failed export to stdout writes nothing there, and offers nothing to continue."""
    last = serve(at_server, 3)[-1]
    serve(at_server, 3, lambda id_: Answer(404, {"error": "Not found"}) if id_ == last else None)
    result = cli("traces", "export", "-")
    assert (result.code, result.out) == (4, "")
    assert "--resume" not in result.err


def test_a_step_that_there_is_not(cli: Cli, at_sandbox: Sandbox, tmp_path: Path) -> None:
    """A wrong --step exits with 2, lists the steps and suggests the nearest; the old file stays."""
    path = tmp_path / "set.html"
    path.write_text("old")
    for command in (
        *(["traces", "export", path, "--format", "jsonl"], ["traces", "export", "-"]),
        *(["report"], ["report", "--json"], ["report", "--html", path], ["report", "--html", "-"]),
    ):
        result = cli(*command, "--step", "clasify", "--step", "tone")
        assert (result.code, result.out) == (2, "")
        steps = "answer, classify, handle, retrieve, tone"
        text = f"has the step 'clasify'. Did you mean 'classify'? The steps are: {steps}."
        assert result.err == f"artanis: No prompt and no trace {text}\n"
        assert path.read_text() == "old"


def test_fail_if_empty(cli: Cli, at_sandbox: Sandbox, tmp_path: Path) -> None:
    """With --fail-if-empty, an export without examples exits with 1 and leaves the old file."""
    path = tmp_path / "set.csv"
    path.write_text("old")
    result = cli("traces", "export", path, "--since", "2030", "--fail-if-empty")
    assert (result.code, result.out, path.read_text()) == (1, "", "old")
    assert result.err == "artanis: No examples match in 0 traces, so nothing was written.\n"
    assert cli("traces", "export", path, "--fail-if-empty").code == 0


def test_prompts_that_were_just_deleted(cli: Cli, at_server: Server, tmp_path: Path) -> None:
    """A listed prompt that answers 404 does not end a report, where it only gives a name, nor an export that skips."""
    version = "0196a4f2-0000-7000-8000-000000000009"

    def answer(request: Request) -> Answer:
        if "?" in request.path:
            return Answer(body={"traces": [trace()], "prompts": [PROMPT]})
        if request.path.startswith("/api/prompts/"):
            return Answer(404, {"error": "Not found"})
        return Answer(body=trace(spans=[span(promptVersionId=version)], feedback=[]))

    at_server.answers = [answer]
    assert version in cli("report").out
    assert version in cli("report", "--html", "-").out
    assert cli("traces", "export", tmp_path / "a.jsonl", "--format", "chat").code == 4
    result = cli("traces", "export", tmp_path / "a.jsonl", "--format", "chat", "--skip-errors")
    assert (result.code, f"There is no prompt version {version}." in result.err) == (0, True)


def test_export_leaves_out(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deleted trace ends an export with status 4, or is skipped and named with --skip-errors."""
    with Sandbox(traces=3) as sandbox, Artanis(**sandbox.credentials) as client:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        gone = client.traces.list()[1].id
        sandbox.delete_trace(gone, listed=True)
        assert cli("traces", "export", tmp_path / "set.csv").code == 4
        result = cli("traces", "export", tmp_path / "set.csv", "--skip-errors", "--jsonl")
    assert result.code == 0
    assert f"Skipped trace {gone}: " in result.err
    assert result.json["skipped"][0]["trace_id"] == gone


def test_export_of_nothing_but_skipped_traces(cli: Cli, at_server: Server, tmp_path: Path) -> None:
    """If every trace was skipped, the file stays as it was, and the status tells why."""
    (tmp_path / "set.csv").write_text("old")
    serve(at_server, 2, lambda _: Answer(404, {"error": "Not found"}))
    result = cli("traces", "export", tmp_path / "set.csv", "--skip-errors")
    assert (result.code, (tmp_path / "set.csv").read_text()) == (4, "old")
    assert "All 2 traces were skipped, so nothing was written: 2 x 404 Not found." in result.err
    serve(at_server, 2, lambda _: Answer(body={}))
    assert cli("traces", "export", tmp_path / "set.csv", "--skip-errors").code == 5


def test_export_beside_a_file_of_others(cli: Cli, at_server: Server, tmp_path: Path) -> None:
    """A file that no export wrote is named, and not offered to be continued."""
    (tmp_path / "set.csv.partial").write_text("mine")
    result = cli("traces", "export", tmp_path / "set.csv")
    assert result.code == 2
    assert "not written by artanis-client" in result.err
    assert "--resume" not in result.err


def test_a_key_that_cannot_be_fetched_again(
    cli: Cli, at_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 401 says why the source of the key has no new one."""
    monkeypatch.delenv("ARTANIS_API_KEY")
    file = tmp_path / "config.toml"
    file.write_text('[default]\napi_key_command = ["echo", "key-1"]')
    monkeypatch.setenv("ARTANIS_CONFIG_FILE", str(file))
    command = tmp_path / "key"
    command.write_text("#!/bin/sh\necho key-1\n")
    command.chmod(0o700)
    file.write_text(f'[default]\napi_key_command = ["{command}"]')

    def refuse(_: Any) -> Answer:
        command.unlink(missing_ok=True)
        return Answer(401, {"error": "expired"})

    at_server.answers = [refuse]
    result = cli("prompts", "list")
    assert result.code == 3
    for words in ("came from profile 'default'", "which came from ARTANIS_BASE_URL", "could not be started"):
        assert words in result.err


@pytest.mark.parametrize("command", [["traces", "show", ids(1)[0]], ["prompts", "show", PROMPT["stepId"]]])
def test_no_number_that_json_lacks(cli: Cli, at_server: Server, command: list[str]) -> None:
    """An answer with 1e999 is an error, and not printed as Infinity."""
    body = {**trace(id=ids(1)[0]), "spans": [span(output="<>")], "feedback": [], "prompts": [PROMPT]}
    body["prompts"] = [{**PROMPT, "outputSchema": {"maximum": "<>"}}]
    at_server.answer(body=json.dumps(body).replace('"<>"', "1e999").encode())
    result = cli(*command, "--json")
    assert (result.code, result.out) == (5, "")
    assert "is not a finite number" in result.err


# Errors


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (
            Answer(401, {"error": "Not authenticated"}),
            3,
            "401 Not authenticated. The API key came from ARTANIS_API_KEY",
        ),
        (Answer(403, {"error": "Forbidden"}), 3, "The organization 'my-org' came from ARTANIS_ORG_SLUG"),
        (Answer(404, {"error": "Not found"}), 4, "404 Not found"),
        (Answer(429, {"error": "slow"}), 5, "lower --concurrency"),
        (Answer(500, b"<html>"), 5, "500 Internal Server Error"),
        (Answer(302, b"", {"location": "https://example.com"}), 5, "Redirects are not followed. Check the base URL."),
        (Answer(200, b"<html>"), 5, "200, but the body does not match the contract: the body is not JSON"),
        (Answer(200, {"prompts": [{"id": 1}]}), 5, "prompts[0].id should be string, not integer. Check that"),
        (Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"), 5, "/api/prompts"),
        (Answer(reset=True), 5, "/api/prompts"),
    ],
)
def test_a_server_that_misbehaves(answer: Answer, code: int, said: str, cli: Cli, at_server: Server) -> None:
    """Every bad response has an exit status, and at most two lines that say what to do."""
    at_server.answers.append(answer)
    result = cli("prompts", "list")
    assert (result.code, result.out) == (code, "")
    assert said in result.err
    assert result.err.startswith("artanis: ")
    assert result.err.count("\n") == (1 if code == 4 else 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("nonsense", "No such command 'nonsense'."),
        ("prompts", "Missing command.\nRun 'artanis prompts --help' for help."),
        ("traces list --nonsense", "No such option"),
        ("traces list --json --jsonl", "--json and --jsonl exclude each other."),
        (
            "traces list --since yesterday",
            "Invalid value for '--since': 'yesterday' is not an ISO 8601 date such as 2026-04",
        ),
        ("report --until 2026-13", "Invalid value for '--until': '2026-13' is not an ISO 8601 date"),
        ("report --since 2026-05 --until 2026-04", "--since is later than --until."),
        ("report --until 2026-04 --since 2026-05", "--since is later than --until."),
        ("report --concurrency 0", "Invalid value for '--concurrency'"),
        ("report --corrections --link example.com", "'example.com' is not an http or https URL with {trace_id}"),
        ("report --corrections --link=", "Invalid value for '--link'"),
        ("report --link https://a.example/{trace_id}", "--link needs --corrections or --html."),
        ("report --corrections --weekly", "--corrections and --weekly exclude each other."),
        ("traces list --timeout 0", "--timeout must be more than 0 seconds"),
        ("traces list --project-id x --project y", "Pass --project or --project-id, not both."),
        ("traces show ..", "Invalid value for ID: '..'. Use an id exactly as 'artanis traces list' prints it."),
        ("traces export a.jsonl --format chat --outcome unreviewed", "Remove --outcome unreviewed."),
        ("traces export a.jsonl --format preference --outcome accepted", "Remove --outcome accepted."),
        ("traces export a.csv --format chat", "The format chat does not match the suffix of 'a.csv'"),
        ("traces export a.jsonl --encoding utf-8-sig", "only for the format csv"),
        ("traces export set.pdf", "choose a format: jsonl, csv, parquet, chat"),
        ("traces export no/such/directory.csv", "The directory to write to does not exist: "),
        ("traces list --project=", "Invalid value for '--project': The value is empty."),
        ("report --project-id=", "Invalid value for '--project-id': The value is empty."),
        ("doctor --base-url=", "Invalid value for '--base-url': The value is empty."),
        ("prompts list --profile=", "Invalid value for '--profile': The value is empty."),
        ("auth login --org=", "Invalid value for '--org': The value is empty."),
        ("auth login --project=", "Invalid value for '--project': The value is empty."),
        ("report --html=", "Invalid value for '--html': The path is empty."),
        (
            "prompts show classify --version 1",
            "Invalid value for '--version': '1' is not a version. Write 'v1'; 'v1'",
        ),
        ("prompts diff classify --from 2", "Invalid value for '--from': '2' is not a version. Write 'v2'; 'v1' is the"),
        ("prompts diff classify --to=-1", "Invalid value for '--to': '-1' is not a version. Write 'v1'"),
        ("prompts pull -", "A directory cannot be a stream. Write ./- if it has that name."),
        ("prompts status -", "A directory cannot be a stream. Write ./- if it has that name."),
        ("sandbox --latency -1", "latency must be from 0 to 3600"),
    ],
)
def test_wrong_usage(arguments: str, said: str, cli: Cli, at_server: Server) -> None:
    """Invalid usage exits with 2 before any request is sent, and names the option."""
    result = cli(*arguments.split())
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert not at_server.requests


@pytest.mark.parametrize(
    ("variable", "value", "code", "said"),
    [
        (
            "ARTANIS_API_KEY",
            "",
            3,
            "The API key is missing. Set ARTANIS_API_KEY, or run 'artanis auth login' to add it to ",
        ),
        ("ARTANIS_ORG_SLUG", "", 3, "The organization is missing. Pass --org, or set ARTANIS_ORG_SLUG, or run "),
        ("ARTANIS_PROFILE", "none", 3, "has no profile 'none'"),
        (
            "ARTANIS_BASE_URL",
            "http://example.com",
            3,
            "base URL from ARTANIS_BASE_URL would send the API key unencrypted. Use https://, or pass --allow-http.",
        ),
        (
            "ARTANIS_PROJECT_SLUG",
            "",
            2,
            "The project is missing. Pass --project or --project-id, or set ARTANIS_PROJECT_SLUG, or run ",
        ),
    ],
)
def test_configuration(
    variable: str, value: str, code: int, said: str, cli: Cli, at_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing and wrong settings are reported in the terms of the command line, with every way to supply them."""
    monkeypatch.setenv(variable, value)
    if variable == "ARTANIS_PROFILE":
        monkeypatch.setenv("ARTANIS_CONFIG_FILE", os.devnull)
    result = cli("prompts", "list")
    assert result.code == code
    assert said in result.err


def test_missing_settings(cli: Cli, at_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All missing settings are reported at once; the project only for commands that need one."""

    def missing(*arguments: str) -> list[str]:
        result = cli(*arguments)
        assert (result.code, result.out) == (3, "")
        assert not at_server.requests
        return re.findall("The (.*) is missing", result.err)

    for name in ("API_KEY", "ORG_SLUG", "PROJECT_SLUG"):
        monkeypatch.delenv(f"ARTANIS_{name}")
    assert missing("prompts", "list") == ["API key", "organization", "project"]
    assert missing("prompts", "list", "--project", "mine") == ["API key", "organization"]
    assert missing("traces", "show", "any") == ["API key", "organization"]
    path = config(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text("[default]\nproject_slug = 'mine'\n[staging]\norg_slug = 'other'\n")
    assert missing("prompts", "list") == ["API key", "organization"]
    assert missing("prompts", "list", "--profile", "staging") == ["API key", "project"]
    monkeypatch.setenv("ARTANIS_API_KEY", KEY)  # is not combined with a selected profile
    login = f"'artanis auth login --profile staging' to add it to {path}."
    assert cli("prompts", "list", "--profile", "staging").err.splitlines()[:2] == [
        f"artanis: The API key is missing. Run {login}",
        f"artanis: The project is missing. Pass --project or --project-id, or run {login}",
    ]


def test_without_network(cli: Cli, at_server: Server) -> None:
    """A refused connection exits with 5, and the message suggests `artanis doctor`."""
    with socket.socket() as deaf:  # holds a port on which nothing listens
        deaf.bind(("127.0.0.1", 0))
        result = cli("traces", "list", "--base-url", f"http://127.0.0.1:{deaf.getsockname()[1]}")
    assert result.code == 5
    assert "(from --base-url)" in result.err
    assert "'artanis doctor'" in result.err


def test_a_mistake_of_ours(cli: Cli, at_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is reported in two lines, with --debug after a traceback, and never with the key."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError(f"x-api-key: {KEY}")

    monkeypatch.setattr(Traces, "list", broken)
    result = cli("traces", "list")
    assert result.code == 5
    assert result.err.count("\n") == 2
    assert "Please report it" in result.err
    debug = cli("traces", "list", "--debug")
    assert "Traceback (most recent call last)" in debug.err
    assert KEY not in result.err + debug.err


def test_debug_shows_what_is_repeated(cli: Cli, at_server: Server) -> None:
    """--debug shows retries and the traceback of the error, without the key."""
    at_server.answer(503)
    at_server.answer(401, {"error": f"no such key: {KEY}"})
    result = cli("prompts", "list", "--debug")
    assert result.code == 3
    assert "503" in result.err.splitlines()[0]
    assert "Traceback (most recent call last)" in result.err
    assert KEY not in result.err


# Terminals


@needs_a_pseudo_terminal
@pytest.mark.parametrize("columns", [80, 120])
def test_tables_fit(columns: int, on_terminal: OnTerminal, at_server: Server) -> None:
    """A table fits the terminal even with wide characters, and ids are not cut."""
    ids = [f"3f2b8a44-0c7e-4f0f-b6a5-9f1c2d3e4f{number}" for number in range(50, 53)]
    at_server.answer(body={"traces": [trace(id=id_, metadata={"t": WIDE}) for id_ in ids]})
    code, shown = on_terminal("traces", "list", columns=columns)
    lines = COLOUR.sub("", shown).splitlines()
    assert (code, len(lines)) == (0, 4)
    assert all(id_ in line for id_, line in zip(ids, lines[1:], strict=True))
    assert max(map(cell_len, lines)) in (columns, columns - 1)
    assert "注" in lines[1]
    assert "…" in lines[1]


LONG_STEP = "classify-support-tickets-of-the-warehouse"


def serve_a_report(server: Server, *, steps: int = 1) -> None:
    """Make a server have traces whose steps have long names, and no prompts."""
    spans = [span(stepId=f"{LONG_STEP}-{n}", promptVersionId=ids(3)[n]) for n in range(steps)]

    def answer(request: Request) -> Answer:
        if request.path.startswith("/api/prompts?"):
            return Answer(body={"prompts": []})
        return Answer(
            body={"traces": [trace()]} if "?" in request.path else {**trace(), "spans": spans, "feedback": []}
        )

    server.answers = [answer]


@needs_a_pseudo_terminal
@pytest.mark.parametrize(
    ("columns", "shown", "left_out"),
    [
        (120, "classify-support-tickets-of-the-warehouse-0 3f2b8a44-0c7e-4f0f-b6a5… 1 1 0 1 0.0% 0-79%", ""),
        (80, "classify-support-… 3f2b8a44… 1 1 0 1 0.0% 0-79%", ""),
        (60, "classify… 3f2b8a44… 1 1 0 0.0% 0-79%", "corrected"),
        (40, "classify-sup… 3f2b8a44… 1 0.0%", "spans, accepted, corrected, range"),
        (20, "classify-supp… 0.0%", "prompt, spans, reviewed, accepted, corrected, range"),
    ],
)
def test_numbers_are_whole(columns: int, shown: str, left_out: str, on_terminal: OnTerminal, at_server: Server) -> None:
    """In a narrow table ids give way, then names, then whole columns, which are named; numbers are never cut."""
    serve_a_report(at_server)
    code, text = on_terminal("report", columns=columns, NO_COLOR="1")
    header, row, *notes = text.splitlines()
    assert (code, " ".join(row.split())) == (0, shown)
    assert columns - 1 <= max(map(cell_len, (header, row))) <= columns
    assert notes == ([f"Not shown, because the terminal is narrow: {left_out}. --json shows all."] if left_out else [])


@needs_a_pseudo_terminal
@pytest.mark.parametrize(("encoding", "ellipsis"), [("ascii", "~"), ("cp1252", "…"), ("utf-8", "…")])
def test_tables_in_any_encoding(encoding: str, ellipsis: str, at_server: Server) -> None:
    """What an ASCII locale or a Windows code page lacks is escaped, and the table still fits."""
    at_server.answer(body={"traces": [trace(metadata={"t": WIDE}, status="täglich")]})
    environment = with_a_terminal(PYTHONUTF8="0", PYTHONIOENCODING=encoding, COLUMNS="90", NO_COLOR="1")
    with Terminal(ONE_COMMAND, "traces", "list", environment=environment) as terminal:
        code, _ = terminal.end()
        header, row = terminal.raw.decode(encoding).splitlines()
    assert (code, header.split()[0]) == (0, "created")
    assert max(cell_len(header), cell_len(row)) <= 90
    assert row.endswith(ellipsis)


def test_nothing_is_cut_in_a_pipe(cli: Cli, at_server: Server) -> None:
    """Lines of tab-separated values hold everything, with line breaks and tabs as `\\n` and `\\t`."""
    content = "first line\n\tsecond\n" * 1000
    at_server.answer(body={"prompts": [{**PROMPT, "content": content}]})
    header, line = cli("prompts", "list").out.splitlines()
    assert header == "step\tid\tupdated (UTC)\tcontent"
    assert line.split("\t")[3] == content.replace("\n", "\\n").replace("\t", "\\t")
    serve_a_report(at_server)
    assert cli("report").out.splitlines()[1].split("\t")[0] == f"{LONG_STEP}-0"


def test_messages_keep_their_advice(cli: Cli, at_server: Server, tmp_path: Path) -> None:
    """However many names an error has, it shows some, says how many more there are, and ends with what to do."""
    prompts = [{**PROMPT, "id": f"p{n}", "stepId": f"step-{n:02}-{'x' * 100}", "content": "theirs"} for n in range(40)]
    versions = [{"id": "v", "content": "theirs", "isActive": True, "createdAt": PROMPT["createdAt"]}]

    def answer(request: Request) -> Answer:
        found = [prompt for prompt in prompts if request.path.endswith(f"/{prompt['id']}")]
        return Answer(body={**found[0], "versions": versions} if found else {"prompts": prompts})

    at_server.answers = [answer]
    for prompt in prompts:
        Path(tmp_path, f"{prompt['stepId']}.md").write_text("mine")
    refused = cli("prompts", "pull", tmp_path)
    assert refused.code == 1
    assert refused.err.endswith(
        "x.md and 20 more. Nothing was written. Commit them or move them away, then pass --force.\n"
    )
    assert re.search(r"Its steps: step-00-x+, .* and 20 more\.$", cli("prompts", "show", "none").err, re.MULTILINE)


@needs_a_pseudo_terminal
@pytest.mark.parametrize("columns", [80, 120])
def test_a_trace_fits(columns: int, on_terminal: OnTerminal, at_server: Server) -> None:
    """A trace fits the terminal, and its correction is coloured."""
    at_server.answer(body=trace(spans=[span(input=WIDE)], feedback=[]))
    code, shown = on_terminal("traces", "show", "any", columns=columns)
    assert code == 0
    assert re.search(r"\x1b\[31m- +\"label\": \"other\"", shown)
    assert re.search(r"\x1b\[32m\+ +\"label\": \"shipping\"", shown)
    assert max(cell_len(COLOUR.sub("", line)) for line in shown.splitlines()) <= columns


@needs_a_pseudo_terminal
def test_text_of_the_api_does_not_reach_the_terminal_as_commands(on_terminal: OnTerminal, at_server: Server) -> None:
    """No command prints a control character that came from the API, not even in an error message."""
    versions = [
        {"id": f"{EVIL}{n}", "content": f"{EVIL}\n{n}", "isActive": n == 1, "createdAt": PROMPT["createdAt"]}
        for n in range(2)
    ]
    said = {"id": "f", "spanId": EVIL, "userId": EVIL, "content": EVIL, "createdAt": PROMPT["createdAt"]}
    prompt = {**PROMPT, "stepId": EVIL, "content": EVIL}
    detail = trace(
        id=EVIL,
        status=EVIL,
        metadata={EVIL: EVIL},
        spans=[span(id=EVIL, stepId=EVIL, input=EVIL, output={EVIL: EVIL}, promptVersionId=EVIL)],
        feedback=[said, {**said, "spanId": "lost" + EVIL}],
    )

    def answer(request: Request) -> Answer:
        match request.path.split("?")[0].split("/")[2:]:
            case ["prompts"]:
                return Answer(body={"prompts": [prompt]})
            case ["prompts", "any"] | ["traces", "teapot"]:
                return Answer(418, {"error": EVIL}, {"x-request-id": "x"})
            case ["prompts", _]:
                return Answer(body={**prompt, "versions": versions})
            case ["traces"]:
                return Answer(body={"traces": [detail]})
            case _:
                return Answer(body=detail)

    at_server.answers.append(answer)
    id_ = PROMPT["id"]
    for command in (
        *("prompts list", f"prompts show {id_}", f"prompts diff {id_}", f"prompts versions {id_}"),
        *("prompts show nothing", "traces list", "traces show any", "traces show teapot", "report", "doctor"),
        *("prompts list --json", f"prompts show {id_} --jsonl", "traces show any --json", "traces list --jsonl"),
    ):
        environment: dict[str, Any] = (
            {"NO_COLOR": "1"} if command == "report" else {}
        )  # without progress, which moves the cursor
        _, shown = on_terminal(*command.split(), **environment)
        rest = COLOUR.sub("", shown).replace("\n", "").replace("\t", "")  # as in the heading of a diff
        assert "owned" in rest or command == "doctor", command
        assert rest.isprintable(), (command, rest)


@needs_a_pseudo_terminal
def test_no_colour(on_terminal: OnTerminal, at_sandbox: Sandbox) -> None:
    """With NO_COLOR, a terminal shows neither colours nor progress; without it, both."""
    _, coloured = on_terminal("report")
    _, plain = on_terminal("report", NO_COLOR="1")
    assert "\x1b[1mstep" in coloured
    assert "Reading traces" in coloured
    assert "\x1b" not in plain
    assert "Reading" not in plain
    assert "\x1b" not in on_terminal("doctor", NO_COLOR="1")[1]


@needs_a_pseudo_terminal
def test_progress(on_terminal: OnTerminal, at_sandbox: Sandbox) -> None:
    """Long work shows its progress, rate and remaining time, and restores the cursor."""
    _, shown = on_terminal("report", columns=120)
    assert "20/20" in shown
    assert re.search(r"\d/s, \d+ s left", shown)
    assert shown.index("\x1b[?25l") < shown.index("\x1b[?25h")


@needs_a_pseudo_terminal
def test_progress_at_a_rate_limit(on_terminal: OnTerminal, at_server: Server) -> None:
    """The progress bar says that, and for how long, the server makes the command wait."""
    refused: list[str] = []

    def answer(trace_id: str) -> Answer | None:
        refused.append(trace_id)
        return Answer(429, headers={"Retry-After": "2"}) if len(refused) < 3 else None

    serve(at_server, 3, answer)
    _, shown = on_terminal("report", "--concurrency", "1", columns=120)
    assert re.search(r"waiting [123] s: rate limited", shown)
    assert "3/3" in shown


@needs_a_pseudo_terminal
def test_interruption_of_an_export(cli: Cli, at_server: Server, tmp_path: Path) -> None:
    """Ctrl-C ends an export with 130 and no traceback; --resume then reads only the missing traces."""
    interrupted = threading.Event()
    sixth = ids(60)[5]

    def answer(trace_id: str) -> Answer | None:
        return Answer(hold=interrupted) if trace_id == sixth and not interrupted.is_set() else None

    serve(at_server, 60, answer)
    path = tmp_path / "set.jsonl"
    arguments = "traces", "export", path, "--concurrency", "1"
    with Terminal(ONE_COMMAND, *arguments, environment=with_a_terminal()) as terminal:
        terminal.read(until="5/60")
        at_server.wait_for_requests(7)
        terminal.type("\x03")
        code, shown = terminal.end()
    assert code == 130
    assert "Traceback" not in shown
    assert "--resume" in shown
    assert "\x1b[?25h" in shown
    interrupted.set()
    before = len(at_server.requests)
    result = cli(*arguments, "--resume", "--json")
    assert result.code == 0
    assert result.json["read"] == 55
    assert len(at_server.requests) - before == 56


@needs_a_pseudo_terminal
def test_interruption_of_a_request(at_server: Server) -> None:
    """Ctrl-C while waiting for a response prints nothing."""
    at_server.answer(hold=at_server.stopping, reset=True)
    with Terminal(ONE_COMMAND, "prompts", "list", environment=with_a_terminal()) as terminal:
        at_server.wait_for_requests(1)
        terminal.type("\x03")
        assert terminal.end() == (130, "^C")


@pytest.mark.skipif(sys.platform == "win32", reason="there, the signal ends the process")
@pytest.mark.parametrize("command", ["report", "prompts list", "doctor"])
def test_interruption_of_what_cannot_be_interrupted(command: str, at_server: Server) -> None:
    """Ctrl-C ends a command within a second while the system library does not return, as in a look-up of a name."""
    code = """
import ctypes, os, signal, socket
def look_up(*_, **__):
    signal.siginterrupt(signal.SIGINT, False)
    print("looking up", flush=True)
    read, _ = os.pipe()
    ctypes.CDLL(None).read(read, ctypes.create_string_buffer(1), 1)  # begins again after a signal, and never returns
socket.getaddrinfo = look_up
from artanis_client.cli import main
main()
"""
    command_line = [sys.executable, "-c", code, *command.split(), "--base-url", "https://api.invalid"]
    with subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=unmeasured()) as running:
        assert running.stdout is not None
        while b"looking up" not in running.stdout.readline():
            pass
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=LIMIT)
    assert (running.returncode, errors) == (130, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end in other ways there")
@pytest.mark.parametrize("option", ["--jsonl", "--json", "--debug"])
def test_a_closed_pipe(option: str, at_server: Server) -> None:
    """If the reader closes the pipe, the command exits with 0 and prints no error."""
    at_server.answer(body={"traces": [trace(id=f"trace-{number}") for number in range(3000)]})
    with subprocess.Popen(
        [*COMMAND, "traces", "list", option], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait(LIMIT) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk() -> None:
    """If the output cannot be written, the command fails."""
    with Path("/dev/full").open("w") as full:
        result = subprocess.run([*COMMAND, "--help"], stdout=full, stderr=subprocess.PIPE, encoding="utf-8")
    assert (result.returncode, result.stderr) == (2, "artanis: No space left on device\n")


# Credentials


def config(tmp_path: Path) -> Path:
    return tmp_path / "config" / "artanis" / "config.toml"


EXISTING = """\
# Mine; keep.
[staging]  # not for customers
org_slug = 'other'
api_key_command = ["pass", "show", "artanis"]
"""


def test_login_from_a_pipe(cli: Cli, sandbox: Sandbox, tmp_path: Path) -> None:
    """A key from stdin is tried, then written with mode 0600; the rest of the file is unchanged."""
    path = config(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(EXISTING)
    path.chmod(0o644)
    options = "--org", sandbox.org_slug, "--project", sandbox.project_slug, "--base-url", sandbox.base_url
    result = cli("auth", "login", *options, stdin=f"{sandbox.api_key}\n")
    assert (result.code, result.out) == (0, "")
    assert sandbox.api_key not in result.err
    assert path.read_text().startswith(EXISTING)
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["config.toml"]
    assert len(cli("prompts", "list", "--jsonl").lines) == 3
    status = cli("auth", "status", "--json")
    assert (status.code, status.json["works"]) == (0, True)
    assert {each["source"] for each in status.json["values"]} == {f"profile 'default' of {path}"}
    assert cli("auth", "logout").code == 0
    assert sandbox.api_key not in path.read_text()
    assert path.read_text().startswith(EXISTING)
    assert cli("auth", "status").code == 3


def test_login_to_a_profile_that_has_a_command(cli: Cli, sandbox: Sandbox, tmp_path: Path) -> None:
    """The key replaces `api_key_command`, and fields that are not given keep their values."""
    path = config(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(EXISTING.replace("'other'", f"'{sandbox.org_slug}'") + f"base_url = '{sandbox.base_url}'\n")
    result = cli("auth", "login", "--profile", "staging", "--json", stdin=sandbox.api_key)
    assert (result.code, result.json["profile"]) == (0, "staging")
    assert "api_key_command" not in path.read_text()
    assert "# not for customers" in path.read_text()
    assert cli("auth", "status", "--profile", "staging").code == 0


@pytest.mark.parametrize(
    ("stdin", "org", "code"),
    [("wrong-key\n", "sandbox-org", 3), ("sandbox-key", "nobody", 3), ("", "x", 2), ("k", "", 2)],
)
def test_login_that_fails(
    stdin: str, org: str, code: int, cli: Cli, at_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that fail or are incomplete are not written, whatever the environment contains."""
    monkeypatch.setenv("ARTANIS_PROFILE", "new")
    result = cli("auth", "login", "--org", org, "--base-url", at_sandbox.base_url, stdin=stdin)
    assert (result.code, result.out) == (code, "")
    assert "wrong-key" not in result.err
    assert not config(tmp_path).exists()
    assert os.environ["ARTANIS_API_KEY"] == at_sandbox.api_key


def test_login_takes_the_rest_from_the_environment(
    cli: Cli, at_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without options, host, organization and project come from the environment, and are written, not only tried."""
    monkeypatch.setenv("ARTANIS_PROFILE", "new")
    monkeypatch.setenv("ARTANIS_CONFIG_FILE", str(tmp_path / "new.toml"))
    monkeypatch.setenv("ARTANIS_API_KEY", "another-key")
    result = cli("auth", "login", stdin=at_sandbox.api_key)
    assert (result.code, result.out) == (0, "")
    assert f", for {at_sandbox.base_url}: the key is accepted" in result.err
    written = tomllib.loads((tmp_path / "new.toml").read_text())
    assert written == {"new": at_sandbox.credentials}
    assert os.environ["ARTANIS_API_KEY"] == "another-key"
    assert cli("auth", "status").code == 0
    monkeypatch.setenv("ARTANIS_PROJECT_SLUG", "nothing")
    assert cli("auth", "login", "--profile", "other", stdin=at_sandbox.api_key).code == 4
    assert cli("auth", "login", stdin=at_sandbox.api_key).code == 0  # a selected profile keeps what it has
    assert tomllib.loads((tmp_path / "new.toml").read_text()) == written


def test_login_to_the_default_profile(cli: Cli, at_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment comes before the profile, as for every other command, and errors name its variables."""
    assert cli("auth", "login", stdin=at_sandbox.api_key).code == 0
    monkeypatch.setenv("ARTANIS_BASE_URL", "http://example.com")
    refused = cli("auth", "login", stdin=at_sandbox.api_key)
    assert refused.code == 3
    assert "The base URL from ARTANIS_BASE_URL would send the API key unencrypted." in refused.err
    options = "--base-url", at_sandbox.base_url
    assert cli("auth", "login", *options, stdin=at_sandbox.api_key).err.splitlines()[1:] == [
        "ARTANIS_BASE_URL is set, and overrides this profile."
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[default]\nproject = "x"', "is wrong in profile 'default': unknown field 'project' (known fields: api_key, "),
        ("[default]\nbase_url = 5", "base_url must be a string"),
        ('[default]\nproject_slug = "a"\nproject_id = "b"', "project_slug and project_id are both set"),
        ('org_slug = "a"', "has 'org_slug' outside a profile. Write [default] above it."),
        ("[default", "is not valid TOML: "),
    ],
)
def test_login_to_a_file_that_the_client_refuses(
    text: str, said: str, cli: Cli, at_server: Server, tmp_path: Path
) -> None:
    """Login says what is wrong with the file, asks for nothing, sends nothing and writes nothing."""
    path = config(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    result = cli("auth", "login", stdin=KEY)
    assert (result.code, result.out, path.read_text()) == (3, "", text)
    assert said in result.err
    assert result.err.count("\n") == 1
    assert "Wrote" not in result.err
    assert not at_server.requests


@pytest.mark.parametrize("text", ["", "default = 5\n", "[default", "[default]\nwrong = 1\n"])
def test_a_refused_file_is_not_shown(text: str, tmp_path: Path) -> None:
    """The error about a configuration file holds no key, not even that of another profile in a frame."""
    path = config(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(f"{text}\n[staging]\napi_key = '{KEY}'\n")
    with pytest.raises(CredentialsError) as caught:
        _Profile("stagin" if not text else None, must_exist=True).check()
    assert KEY not in everything_shown(caught.value)


def test_logout_of_a_profile_that_there_is_not(cli: Cli, sandbox: Sandbox, tmp_path: Path) -> None:
    """A misspelt profile is an error that lists the profiles; another wrong field does not keep the key in the file."""
    path = config(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(EXISTING + "project = 'wrong field'\n")
    result = cli("auth", "logout", "--profile", "stagin")
    assert (result.code, path.read_text()) == (3, EXISTING + "project = 'wrong field'\n")
    assert f"{path} has no profile 'stagin'. It has: staging." in result.err
    assert cli("auth", "logout", "--profile", "staging").code == 0
    assert "api_key_command" not in path.read_text()
    assert cli("auth", "logout").err == f"There is no API key in profile 'default' of {path}.\n"


def test_login_with_a_file_that_is_no_toml(cli: Cli, tmp_path: Path) -> None:
    """A file that is not valid TOML is neither changed nor quoted."""
    path = config(tmp_path)
    path.parent.mkdir(parents=True)
    for text in ('[default]\napi_key = "half-a-key', 'default = "half-a-key"\n'):
        path.write_text(text)
        for command in ("login", "logout"):
            result = cli("auth", command, stdin="key")
            assert result.code == 3
            assert "half-a-key" not in result.err
            assert path.read_text() == text


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_login_keeps_a_link(cli: Cli, sandbox: Sandbox, tmp_path: Path) -> None:
    """If the configuration file is a link, its target is written."""
    path, real = config(tmp_path), tmp_path / "dotfiles.toml"
    path.parent.mkdir(parents=True)
    real.write_text(EXISTING)
    path.symlink_to(real)
    options = "--org", sandbox.org_slug, "--base-url", sandbox.base_url
    assert cli("auth", "login", *options, stdin=sandbox.api_key).code == 0
    assert path.is_symlink()
    assert sandbox.org_slug in real.read_text()


@needs_a_pseudo_terminal
def test_login_at_a_terminal(sandbox: Sandbox, tmp_path: Path) -> None:
    """Login asks for the key without echo, then for the organization and the project."""
    command = "auth", "login", "--base-url", sandbox.base_url
    with Terminal(ONE_COMMAND, *command, environment=with_a_terminal()) as terminal:
        for question, answer in (
            ("API key", sandbox.api_key),
            ("Organization", sandbox.org_slug),
            ("Project", sandbox.project_slug),
        ):
            terminal.read(until=question)
            if question == "API key":
                wait_until(lambda: not is_echoing(terminal))
            terminal.type(f"{answer}\n")
        code, shown = terminal.end()
    assert code == 0, shown
    assert sandbox.api_key not in shown
    assert sandbox.org_slug in shown
    assert sandbox.api_key in config(tmp_path).read_text()


@needs_a_pseudo_terminal
def test_login_offers_the_environment(at_sandbox: Sandbox, tmp_path: Path) -> None:
    """In a terminal, the values of the environment are in brackets, and Enter accepts them."""
    environment = with_a_terminal(ARTANIS_API_KEY="")
    with Terminal(ONE_COMMAND, "auth", "login", environment=environment) as terminal:
        terminal.read(until="API key")
        wait_until(lambda: not is_echoing(terminal))
        terminal.type(f"{at_sandbox.api_key}\n")
        for default in (at_sandbox.org_slug, at_sandbox.project_slug, at_sandbox.base_url):
            terminal.read(until=f"[{default}]: ")
            terminal.type("\n")
        code, shown = terminal.end()
    assert code == 0, shown
    assert tomllib.loads(config(tmp_path).read_text()) == {"default": at_sandbox.credentials}


def is_echoing(terminal: Terminal) -> bool:
    import termios

    flags: int = termios.tcgetattr(terminal.master)[3]
    return bool(flags & termios.ECHO)


def test_status_masks_the_key(cli: Cli, at_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last four characters of a long key are shown, and none of a short one; a refused key exits with 3."""
    at_server.answer(401, {"error": "Not authenticated"})
    key = "k" * 30 + "wxyz"
    for value, shown in ((key, "****wxyz"), ("short-key", "****")):
        monkeypatch.setenv("ARTANIS_API_KEY", value)
        result = cli("auth", "status", "--json")
        assert result.code == 3
        assert result.json["values"][0] == {"field": "api_key", "value": shown, "source": "ARTANIS_API_KEY"}
        assert value not in result.out + result.err


@pytest.mark.skipif(sys.platform == "win32", reason="modes are another matter there")
@pytest.mark.filterwarnings("always")
def test_a_file_that_others_may_read(cli: Cli, sandbox: Sandbox, tmp_path: Path) -> None:
    """The library's warning is printed on one line, and the doctor reports it."""
    cli("auth", "login", "--org", sandbox.org_slug, "--base-url", sandbox.base_url, stdin=sandbox.api_key)
    config(tmp_path).chmod(0o644)
    result = cli("prompts", "list", "--project", sandbox.project_slug)
    assert result.code == 0
    assert re.fullmatch(r"artanis: warning: .*: chmod 600 .*\n", result.err)
    assert not cli("prompts", "list", "--project", sandbox.project_slug).err  # it comes once per process
    warn_once.cache_clear()
    found = cli("doctor", "--json").json["checks"]
    [warning] = [check for check in found if check["status"] == "warning" and "chmod 600" in check["detail"]]
    assert warning["remedy"] == f"chmod 600 {config(tmp_path)}"


# Doctor


def checks(result: Result) -> dict[str, Any]:
    return {check["name"]: check for check in result.json["checks"]}


def test_doctor(cli: Cli, at_sandbox: Sandbox) -> None:
    """If all is well, the doctor exits with 0, names each check, and times those that use the network."""
    result = cli("doctor", "--json")
    found = checks(result)
    assert result.code == 0
    assert result.json["ok"] is True
    assert [check["status"] for check in found.values()] == ["ok"] * 9
    assert {
        "versions",
        "configuration",
        "dns",
        "tcp",
        "http",
        "authentication",
        "organization",
        "project",
        "clock",
    } == {*found}
    assert all(found[name]["seconds"] >= 0 for name in ("dns", "tcp", "http"))
    assert cli("doctor", "--jsonl").lines[-1]["name"] == "clock"
    assert at_sandbox.api_key not in result.out


@pytest.mark.parametrize(
    ("arguments", "variables", "failed"),
    [
        ([], {"ARTANIS_API_KEY": "wrong-key"}, "authentication"),
        ([], {"ARTANIS_API_KEY": ""}, "configuration"),
        (["--org", "nobody"], {}, "organization"),
        (["--project", "nothing"], {}, "project"),
        (["--base-url", "http://127.0.0.1:1"], {}, "tcp"),
        (["--base-url", "https://does-not-exist.invalid"], {}, "dns"),
        (["--timeout", "0"], {}, "configuration"),
    ],
)
def test_doctor_finds(
    arguments: list[str],
    variables: dict[str, str],
    failed: str,
    cli: Cli,
    at_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If one thing is wrong, the doctor exits with 1, and exactly that check fails, with a remedy."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    resolve = socket.getaddrinfo

    def resolve_here(host: Any, *others: Any, **named: Any) -> Any:
        if host == "does-not-exist.invalid":  # whatever a name server on this network says, and however late
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *others, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)
    result = cli("doctor", *arguments, "--json")
    assert result.code == 1
    assert [check["name"] for check in result.json["checks"] if check["status"] == "failed"] == [failed]
    assert checks(result)[failed]["remedy"]
    assert "wrong-key" not in result.out + result.err
    assert f"failed   {failed}" in cli("doctor", *arguments).out


@pytest.mark.parametrize(
    ("variables", "name", "said", "remedy"),
    [
        ({"HTTP_PROXY": "ftp://p"}, "proxy", "the environment (HTTP_PROXY) cannot be used.", "It must be a URL like"),
        ({"HTTP_PROXY": "socks5://p"}, "configuration", "'socksio' package is not installed.", "`pip install httpx[s"),
        ({"SSL_CERT_FILE": "/no/such"}, "configuration", "TLS cannot be set up", "Check SSL_CERT_FILE=/no/such."),
        ({"ARTANIS_CONFIG_FILE": "bad.toml"}, "configuration", "bad.toml is not valid TOML: ", "Correct it"),
    ],
)
def test_doctor_knows_the_cause(
    variables: dict[str, str],
    name: str,
    said: str,
    remedy: str,
    cli: Cli,
    at_server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What keeps the client from starting is named with its remedy, which is not to log in; commands say the same."""
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text("[default")
    monkeypatch.setitem(sys.modules, "socksio", None)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    elsewhere = "--base-url", "http://api.invalid", "--allow-http"
    [check] = [check for check in cli("doctor", *elsewhere, "--json").json["checks"] if check["status"] == "failed"]
    assert check["name"] == name
    assert said in check["detail"]
    assert remedy in check["remedy"]
    result = cli("prompts", "list", *elsewhere)
    assert result.code == 3
    assert result.err == f"artanis: {check['detail']} {check['remedy']}\n"
    assert "auth login" not in result.err


def test_doctor_reports_all_that_is_missing(cli: Cli) -> None:
    """Key, organization and project are reported together."""
    found = [check for check in cli("doctor", "--json").json["checks"] if check["status"] == "failed"]
    assert [check["detail"] for check in found] == [
        f"The {name} is missing." for name in ("API key", "organization", "project")
    ]
    assert all(check["remedy"].endswith("config.toml.") for check in found)


@pytest.mark.parametrize(
    "command",
    [
        *("prompts list", "prompts show classify", "prompts versions classify", "prompts diff classify"),
        *("prompts pull folder", "prompts status folder", "traces list", "traces export set.jsonl", "report"),
        *("report --skip-errors --html page.html", "contract", "auth status", "auth login"),
    ],
)
def test_a_project_that_there_is_not(
    command: str, cli: Cli, at_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong project exits with 4, whatever the command is."""
    monkeypatch.chdir(tmp_path)
    result = cli(*command.split(), "--project", "nothing", stdin=at_sandbox.api_key)
    assert result.code == 4
    assert "Check the id or project" in result.err


def test_doctor_without_a_project(cli: Cli, at_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing project is a warning, not a failure."""
    monkeypatch.delenv("ARTANIS_PROJECT_SLUG")
    result = cli("doctor", "--json")
    assert result.code == 0
    assert [check["name"] for check in result.json["checks"] if check["status"] == "warning"] == [
        "configuration",
        "authentication",
    ]


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (Answer(503), "Try again later"),
        (Answer(body=b"<html>"), "run 'artanis contract'"),
        (Answer(body={"prompts": [{"id": 1}]}), "run 'artanis contract'"),
        (Answer(reset=True), "Check the network"),
        (Answer(418), "Check that the base URL"),
    ],
)
def test_doctor_at_something_else(answer: Answer, remedy: str, cli: Cli, at_server: Server) -> None:
    """A server that fails or is not the API fails the check `http`, after one request, with a fitting remedy."""
    at_server.answers.append(answer)
    result = cli("doctor", "--json")
    assert (result.code, checks(result)["http"]["status"]) == (1, "failed")
    assert remedy in checks(result)["http"]["remedy"]
    assert len(at_server.requests) == 1


@pytest.mark.parametrize(("minutes", "status", "said"), [(10, "warning", "behind"), (-10, "warning", "ahead of")])
def test_doctor_looks_at_the_clock(minutes: int, status: str, said: str, cli: Cli, at_server: Server) -> None:
    """A clock that is minutes fast or slow is a warning that says which."""
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    body = json.dumps({"prompts": []})
    head = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {len(body)}\r\n\r\n"
    at_server.answer(raw=(head + body).encode())
    result = cli("doctor", "--json")
    assert result.code == 0
    assert checks(result)["clock"]["status"] == status
    assert said in checks(result)["clock"]["detail"]


def test_doctor_without_a_date(cli: Cli, at_server: Server) -> None:
    """Without a Date header, the clock is not checked."""
    at_server.answer(raw=b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"prompts":[]}')
    result = cli("doctor", "--json")
    assert result.code == 0
    assert "clock" not in checks(result)


def test_doctor_looks_at_tls(cli: Cli, at_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate of an unknown authority fails; for a known one, the remaining days are reported."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", not_after=datetime.now(UTC) + timedelta(days=3, hours=1)).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    at_server.http.socket = context.wrap_socket(at_server.http.socket, server_side=True)
    at_server.answer(body={"prompts": []})
    at_url = "--base-url", at_server.url.replace("http://127.0.0.1", "https://localhost"), "--timeout", LIMIT
    result = cli("doctor", *at_url, "--json")
    assert (result.code, checks(result)["tls"]["status"]) == (1, "failed")
    assert "certificate verify failed" in checks(result)["tls"]["detail"]
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    result = cli("doctor", *at_url, "--json")
    assert (result.code, checks(result)["tls"]["status"]) == (0, "warning")
    assert "certificate valid for 3 days" in checks(result)["tls"]["detail"]


def test_doctor_through_a_proxy(cli: Cli, at_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy from the environment is named without its password, and is what the doctor connects to."""
    at_server.answer(body={"prompts": []})
    monkeypatch.setenv("HTTP_PROXY", at_server.url.replace("//", "//user:pass-of-proxy@"))
    result = cli("doctor", "--base-url", "http://api.invalid", "--allow-http", "--json")
    assert result.code == 0
    assert checks(result)["proxy"]["detail"].startswith(at_server.url)
    assert "pass-of-proxy" not in result.out


# Tools


@pytest.mark.skipif(sys.platform == "win32", reason="there, a signal ends the process without its say")
def test_sandbox() -> None:
    """The sandbox prints its credentials as JSON, and a signal stops it without an error."""
    command = [*COMMAND, "sandbox", "--port", "0", "--traces", "2", "--now", NOW, "--drift", "null", "--jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as running:
        assert running.stdout is not None
        credentials = json.loads(running.stdout.readline())
        check_output("sandbox", credentials, [credentials])
        with Artanis(**credentials) as client:
            assert f"{client.traces.list()[0].created_at:%Y-%m-%d}" == "2026-04-03"
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=LIMIT)
    assert (running.returncode, output) == (0, "")
    assert "Ctrl-C" in errors
    assert re.search(r"^GET /api/traces 200 \d+ ms$", errors, re.MULTILINE)
    assert errors.count("\n") == 2


def test_contract(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drift exits with 1 and is described; refused credentials exit with 3."""
    with Sandbox(traces=2, drift=["undocumented-field"]) as sandbox:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        result = cli("contract")
        assert result.code == 1
        assert "undocumented field" in result.out
        assert cli("contract", "--json").json["operations"]
        monkeypatch.setenv("ARTANIS_API_KEY", "wrong-key")
        assert cli("contract").code == 3


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each shell has a completion script, which gets commands and options from the command itself."""
    result = cli("completion", shell)
    assert result.code == 0
    assert "_ARTANIS_COMPLETE" in result.out
    monkeypatch.setenv("COMP_WORDS", "artanis traces ")
    monkeypatch.setenv("COMP_CWORD", "2" if shell != "fish" else "")
    monkeypatch.setenv("_ARTANIS_COMPLETE", f"{shell}_complete")
    assert "export" in cli().out


COMPLETIONS = {
    "traces ": ["list", "show", "export"],
    "traces list --max": ["--max-retries"],
    "--prof": ["--profile"],
    "--profile st": ["staging", "stable,old"],
    "--org x auth logout --profile sta": ["staging", "stable,old"],
    "report --step c": ["classify"],
    "prompts show t": ["tone"],
    "--project nothing prompts show t": [],
    "sandbox --drift renamed": ["renamed-key"],
}
PROFILES = "[staging]\n['stable,old']\n[other]\n"


@pytest.mark.parametrize("line", COMPLETIONS)
def test_what_is_completed(
    line: str, cli: Cli, at_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands, options, profiles, steps and drifts are completed; without an answer of the API, nothing."""
    (tmp_path / "profiles.toml").write_text(PROFILES)
    words = ["artanis", *line.split(" ")]
    for name, value in (("WORDS", shlex.join(words)), ("CWORD", str(len(words) - 1))):
        monkeypatch.setenv(f"COMP_{name}", value)
    monkeypatch.setenv("_ARTANIS_COMPLETE", "bash_complete")
    monkeypatch.setenv("ARTANIS_CONFIG_FILE", str(tmp_path / "profiles.toml"))
    result = cli()
    assert (result.code, result.err) == (0, "")
    found = [completed.partition(",")[2] for completed in result.out.splitlines()]
    assert sorted(filter(None, found)) == sorted(COMPLETIONS[line])


# How each shell loads the script, and prints what it completes at the end of a line, with tabs between.
SHELLS = {
    "bash": (
        'eval "$(artanis completion bash)"',
        """COMP_WORDS=({words}) COMP_CWORD={last} COMPREPLY=(); _artanis_completion artanis
        (IFS=$'\\t'; echo "${{COMPREPLY[*]}}")""",
    ),
    "fish": (
        "artanis completion fish | source",
        "echo (complete -C {line} | string split -f 1 \\t | string join \\t)",
    ),
    "zsh": (
        """eval "$(artanis completion zsh)"; [[ $_comps[artanis] == _artanis_completion ]] || exit 1
        compadd() {{ found+=(${{(P)@[-1]}}); }}
        _describe() {{ for each in ${{(P)3}}; do found+=(${{each%%:*}}); done; }}""",
        """words=({words}) CURRENT={last}+1 found=(); _artanis_completion; print -r -- ${{(pj:\\t:)found}}""",
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("shell", SHELLS)
def test_completion_in_a_shell(shell: str, at_sandbox: Sandbox, tmp_path: Path) -> None:
    """The script works in the real shell without any set-up, and completes values with commas."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "config.toml").write_text(PROFILES)
    (tmp_path / "artanis").write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    (tmp_path / "artanis").chmod(0o755)
    environment = {
        **unmeasured(),
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "ARTANIS_CONFIG_FILE": str(tmp_path / "config.toml"),
    }
    options = {"bash": ["--norc"], "fish": ["--no-config"], "zsh": ["-f"]}[shell]
    load, show = SHELLS[shell]
    script = [load.format()]
    lines = "traces ", "--profile st"
    for line in lines:
        words = ["artanis", *line.split(" ")]
        quoted = {"words": shlex.join(words), "line": shlex.quote(f"artanis {line}")}
        script.append(show.format(last=len(words) - 1, **quoted))
    result = subprocess.run(
        [program, *options, "-c", "\n".join(script)],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
    )
    assert (result.returncode, result.stderr) == (0, "")
    shown = [sorted(filter(None, line.split("\t"))) for line in result.stdout.splitlines()]
    assert shown == [sorted(COMPLETIONS[line]) for line in lines]


def test_empty_paths(cli: Cli, at_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty path is refused; it does not stand for the current directory."""
    monkeypatch.chdir(tmp_path)
    for command in (("prompts", "pull", ""), ("prompts", "status", ""), ("traces", "export", "", "--format", "jsonl")):
        result = cli(*command)
        assert result.code == 2
        assert "The path is empty." in result.err
    assert not at_server.requests


# The page of the report


def test_a_page_to_stdout(cli: Cli, at_sandbox: Sandbox, tmp_path: Path) -> None:
    """`report --html -` writes the page to stdout, and nothing else anywhere."""
    result = process("report", "--html", "-")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("<!DOCTYPE html>")
    assert at_sandbox.project_slug in result.out


def test_report_as_a_page(cli: Cli, at_sandbox: Sandbox, tmp_path: Path) -> None:
    """`report --html` writes one page that names the project and the versions, and prints nothing to stdout."""
    path = tmp_path / "report.html"
    result = cli("report", "--html", path, "--step", "tone", "--since", "2026-04")
    assert (result.code, result.out) == (0, "")
    assert str(path) in result.err
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert {at_sandbox.project_slug, "v2 active", "2026-04"} <= set(re.findall(r">([^<>]+)<", page))
    assert "classify" not in page
    assert [path.name for path in tmp_path.glob("report*")] == ["report.html"]


@pytest.mark.parametrize("options", [("--json",), ("--jsonl",), ("--weekly",), ("--corrections",)])
def test_a_page_and_a_table(cli: Cli, at_sandbox: Sandbox, tmp_path: Path, options: tuple[str, ...]) -> None:
    """`--html` cannot be combined with a table, which is checked before any request."""
    before = at_sandbox.request_count
    result = cli("report", "--html", tmp_path / "report.html", *options)
    assert result.code == 2
    assert "instead of a table" in result.err
    result = cli("report", "--html", tmp_path / "missing" / "report.html")
    assert result.code == 2
    assert "does not exist." in result.err
    assert at_sandbox.request_count == before


def test_corrections(cli: Cli, at_server: Server, tmp_path: Path) -> None:
    """`--corrections` lists each correction with its newest traces, or links to these."""
    listed = serve(at_server, 5, lambda id_: correct(id_, "billing" if id_ != ids(5)[0] else "sales"))
    others, one = sorted(listed[1:], reverse=True), listed[0]
    common = {"step_id": "classify", "path": "$.label", "output": '"other"'}
    assert cli("report", "--corrections", "--json").json == [
        {**common, "approved_output": '"billing"', "spans": 4, "traces": 4, "newest_traces": others[:3]},
        {**common, "approved_output": '"sales"', "spans": 1, "traces": 1, "newest_traces": [one]},
    ]
    start = 'step\tpath\toutput\tapproved\tspans\ttraces\nclassify\t$.label\t"other"\t"billing"\t4\t'
    end = f'\nclassify\t$.label\t"other"\t"sales"\t1\t{one}\n'
    assert cli("report", "--corrections").out == f"{start}{', '.join(others[:3])} and 1 more{end}"
    options, links = ["--link", "https://example.com/{trace_id}#x"], [f"https://example.com/{id_}#x" for id_ in others]
    assert f"\t{', '.join(links[:3])} and 1 more\n" in cli("report", "--corrections", *options).out
    assert cli("report", "--corrections", *options, "--json").json[0]["links"] == links[:3]
    assert cli("report", "--html", tmp_path / "a.html", *options).code == 0
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert all(f'href="{link}"' in page for link in links[:3])
    result = cli("report", "--corrections", "--since", "2030")
    assert (result.code, result.err) == (0, "No output was corrected.\n")


def test_too_many_different_corrections(cli: Cli, at_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """If not all corrections can be counted, a note says so, for people and programs."""
    monkeypatch.setattr(_corrections, "MAX_COUNTED", 4)
    serve(at_server, 5, lambda id_: correct(id_, id_))
    text = "There are too many different corrections to count all: each count may be too low by up to 1.\n"
    result = cli("report", "--corrections", "--json")
    assert (result.code, result.json, result.err) == (0, [], text)
    assert cli("report", "--corrections").err == text


def test_a_report_of_a_trace_that_is_listed_twice(cli: Cli, at_server: Server) -> None:
    """A trace that the server lists twice is counted once."""
    serve(at_server, 2)
    answer: Any = at_server.answers[0]
    twice = Answer(body={"traces": [trace(id=id_) for id_ in ids(2) * 2]})
    at_server.answers = [lambda request: twice if request.path.startswith("/api/traces?") else answer(request)]
    assert cli("report", "--json").json["versions"][0]["spans"] == 2


def correct(trace_id: str, label: str) -> Answer:
    spans = [span(output={"label": "other"}, approvedOutput={"label": label})]
    return Answer(body={**trace(id=trace_id), "spans": spans, "feedback": []})


# Streams and terminals

CLOSED = "import os, sys; [os.close(int(each)) for each in sys.argv[1]]; os.execv(sys.executable, sys.argv[2:])"


def with_closed(descriptors: str, *arguments: object, module: str = "artanis_client.cli") -> Result:
    """Run a command line without some of the three standard streams."""
    command = [sys.executable, "-c", CLOSED, descriptors, sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=LIMIT, env=unmeasured(), check=False)
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.once
@pytest.mark.skipif(sys.platform == "win32", reason="processes there always have streams")
@pytest.mark.parametrize(
    ("descriptors", "command", "code", "error"),
    [
        ("1", "traces export {path}/a.jsonl", 0, ""),
        ("2", "traces export {path}/a.jsonl", 0, ""),
        ("012", "traces export {path}/a.jsonl", 0, ""),
        ("1", "report --html {path}/a.html", 0, "Wrote .*"),
        ("1", "prompts pull {path}/prompts", 0, ""),
        ("1", "traces export {path}/a.jsonl --json", 2, "artanis: Standard output is closed"),
        ("1", "traces export -", 2, "artanis: Standard output is closed"),
        ("1", "report --html -", 2, "artanis: Standard output is closed"),
        ("1", "traces list", 2, "artanis: Standard output is closed"),
        ("1", "traces list --json", 2, "artanis: Standard output is closed"),
        ("1", "prompts show classify", 2, "artanis: Standard output is closed"),
        ("1", "--help", 2, "artanis: Standard output is closed"),
        ("12", "traces list", 2, ""),
        ("2", "traces show nope", 4, ""),
        ("12", "traces show nope", 4, ""),
        ("2", "traces list --no-such-option", 2, ""),
        ("0", "auth login --org sandbox-org", 2, "artanis: No API key. .*"),
        ("012", "auth login --org sandbox-org", 2, ""),
    ],
)
def test_closed_streams(
    at_sandbox: Sandbox, tmp_path: Path, descriptors: str, command: str, code: int, error: str
) -> None:
    """What needs no stream works without it; anything else is one line, where there is a stderr, and a status."""
    result = with_closed(descriptors, *command.format(path=tmp_path).split())
    assert result.code == code
    assert re.fullmatch(error, result.err.strip())


@pytest.mark.once
@pytest.mark.skipif(sys.platform == "win32", reason="processes there always have streams")
@pytest.mark.parametrize(("descriptors", "code"), [("0", None), ("1", 2), ("2", None), ("12", 2)])
def test_closed_streams_of_the_contract_check(at_sandbox: Sandbox, descriptors: str, code: int | None) -> None:
    """A report that cannot be printed does not look like drift; otherwise the status is the usual one."""
    expected = with_closed("", module="artanis_client.contract").code if code is None else code
    assert with_closed(descriptors, module="artanis_client.contract").code == expected


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is none")  # noqa: PTH110
@pytest.mark.parametrize(("command", "code"), [("traces show nope", 4), ("auth login", 2), ("report --html=a.html", 0)])
def test_stderr_that_cannot_be_written_to(at_sandbox: Sandbox, tmp_path: Path, command: str, code: int) -> None:
    """The status does not depend on whether the message could be printed."""
    with open("/dev/full", "w") as full:  # noqa: PTH123
        streams: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": full}
        done = subprocess.run([*COMMAND, *command.split()], **streams, timeout=LIMIT, cwd=tmp_path, check=False)
    assert done.returncode == code


@needs_a_pseudo_terminal
@pytest.mark.parametrize("value", ["0", "00", "-5", "many", "²", ""])
@pytest.mark.parametrize("command", ["traces list", "prompts list"])
def test_columns_that_say_nothing(on_terminal: OnTerminal, at_sandbox: Sandbox, command: str, value: str) -> None:
    """A size of 0, or of anything but a number, counts as unknown: the terminal is asked."""
    for columns in (80, 100):
        shown = on_terminal(*command.split(), columns=columns)
        assert on_terminal(*command.split(), columns=columns, COLUMNS=value, LINES=value) == shown
        assert len(shown[1].splitlines()) > 3


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_login_with_a_byte_order_mark(at_sandbox: Sandbox, tmp_path: Path, encoding: str, mark: bytes) -> None:
    """A byte order mark, which PowerShell writes into pipes, is not part of the key."""
    done = subprocess.run(
        [*COMMAND, "auth", "login", "--org", at_sandbox.org_slug, "--base-url", at_sandbox.base_url],
        input=mark + at_sandbox.api_key.encode() + b"\r\n",
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert tomllib.loads(config(tmp_path).read_text())["default"]["api_key"] == at_sandbox.api_key


@pytest.mark.once
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_prompts_in_a_pipe_of_another_encoding(at_server: Server, encoding: str) -> None:
    """The text of a prompt is written in UTF-8, byte for byte, and so are differences."""
    text = "“typographic” → always\N{RIGHT-TO-LEFT OVERRIDE}\r\n"
    old = {"id": "v0", "content": "old", "isActive": False, "createdAt": PROMPT["createdAt"]}
    new = {"id": "v1", "content": text, "isActive": True, "createdAt": PROMPT["createdAt"]}
    lists, history = Answer(body={"prompts": [PROMPT]}), Answer(body={**PROMPT, "versions": [old, new]})
    at_server.answers = [lambda request: lists if request.path.startswith("/api/prompts?") else history]
    for command, code in (("show", 0), ("diff", 1)):
        done = subprocess.run(
            [*COMMAND, "prompts", command, "classify"],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert text.encode() in done.stdout


# What a page is written to


@pytest.mark.skipif(sys.platform == "win32", reason="modes, links and pipes are those of Unix")
def test_a_page_keeps_what_it_replaces(cli: Cli, at_sandbox: Sandbox, tmp_path: Path) -> None:
    """A link stays, a file keeps its mode, files of others stay, and no temporary file is left."""
    page, link = tmp_path / "www" / "index.html", tmp_path / "link.html"
    page.parent.mkdir()
    page.write_text("old")
    page.chmod(0o600)
    page.with_name("index.html.new").write_text("mine")
    link.symlink_to(page)
    assert cli("report", "--html", link).code == 0
    assert link.is_symlink()
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert {path.name for path in page.parent.iterdir()} == {"index.html", "index.html.new"}
    assert page.with_name("index.html.new").read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are those of Unix")
def test_a_page_into_a_pipe(cli: Cli, at_server: Server, tmp_path: Path) -> None:
    """A pipe or a device is refused before the first request, and stays what it is."""
    pipe, link = tmp_path / "pipe.html", tmp_path / "link.html"
    os.mkfifo(pipe)
    link.symlink_to("/dev/null")
    for path in (pipe, link, "/dev/null"):
        result = cli("report", "--html", path)
        assert (result.code, result.err) == (2, f"artanis: Not a regular file: {path}\n")
    assert pipe.is_fifo()
    assert link.is_char_device()
    assert at_server.requests == []


@pytest.mark.parametrize("name", ["no-such-folder/a.html", "a" * 256, "/proc/a.html"])
def test_a_page_that_cannot_be_written(cli: Cli, at_server: Server, tmp_path: Path, name: str) -> None:
    """A target that cannot be written to is found before the first request."""
    serve(at_server, 1)
    assert cli("report", "--html", tmp_path / name).code == 2
    assert at_server.requests == []


@pytest.mark.skipif(sys.platform == "win32", reason="homes and devices are those of Unix")
def test_login_without_a_home(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Login says what to set, and writes nothing, not even into a directory that is named ~."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    result = cli("auth", "login", "--org", "o", stdin="key")
    assert result.code == 3
    assert "Set HOME, or ARTANIS_CONFIG_FILE to the path of a file." in result.err
    for path in ("~nobody-of-that-name/config.toml", "~/config.toml", "/dev/null"):
        monkeypatch.setenv("ARTANIS_CONFIG_FILE", path)
        assert "Set HOME, or ARTANIS_CONFIG_FILE" in cli("auth", "login", "--org", "o", stdin="key").err
    assert list(tmp_path.iterdir()) == []
    assert Path("/dev/null").is_char_device()
