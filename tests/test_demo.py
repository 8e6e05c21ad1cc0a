"""`examples/demo.py` against the sandbox or a server of the test: as a process, and in this one to save its start."""

from __future__ import annotations

import io
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from rich.cells import cell_len

from artanis_client.sandbox import Sandbox
from support import KEY, LIMIT, NOW, PROMPT, Answer, Request, Server, span, trace

pytestmark = pytest.mark.tooling

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"
TITLES = [
    "Active prompts",
    "A prompt, and the version before it",
    "The newest traces",
    "One of them, span by span",
    "A mistake: the wrong organization",
]
NASTY = "\x1b[31m[red]no[/red]\x1b]0;title\x07 \x9b2J\r\u202e\ud800 :smile: 東京"
STYLE = re.compile("\x1b\\[[0-9;]*m")
LIKE_A_TERMINAL = ("FORCE_COLOR", "TTY_COMPATIBLE")  # variables that make a pipe one
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")


@attrs.frozen
class Done:
    returncode: int
    stdout: str


def run_process(*arguments: str, **environment: str) -> Done:
    """Run the demo as a newcomer does."""
    inherited = {name: value for name, value in os.environ.items() if name not in LIKE_A_TERMINAL}
    done = subprocess.run(
        [sys.executable, str(DEMO), *arguments],
        env={**inherited, "PYTHONUTF8": "1", **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
    )
    assert done.stderr == ""
    assert not CONTROL.search(done.stdout)
    return Done(done.returncode, done.stdout)


def run(*arguments: str, **environment: str) -> Done:
    """Run the demo in this process."""
    stdout, stderr = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name in LIKE_A_TERMINAL:
            patch.delenv(name, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", [str(DEMO), *arguments])
        patch.setattr(sys, "stdout", stdout)
        patch.setattr(sys, "stderr", stderr)
        returncode: Any = 0
        try:
            runpy.run_path(str(DEMO), run_name="__main__")
        except SystemExit as end:
            returncode = end.code
    stdout.seek(0)
    text = stdout.read()
    assert stderr.getvalue() == ""
    assert not CONTROL.search(STYLE.sub("", text) if "FORCE_COLOR" in environment else text)
    return Done(returncode, text)


def titles(output: str) -> list[str]:
    return re.findall("^(.+?) ─{10,}$", output, re.MULTILINE)


def width(output: str) -> int:
    return max(map(cell_len, output.splitlines()))


def part(output: str, title: str) -> str:
    """What is shown below one of the titles."""
    return re.split("^.+ ─{10,}$", output.partition(f"\n{title} ─")[2], maxsplit=1, flags=re.MULTILINE)[0]


class Project:
    """What a server has, and how it answers for it."""

    def __init__(self, server: Server) -> None:
        self.prompts: list[dict[str, Any]] = [PROMPT]
        self.versions = [
            {"id": str(n), "content": f"Version {n}.", "isActive": n == 2, "createdAt": "2026-04-01T12:00:00.000Z"}
            for n in (1, 2)
        ]
        self.trace = trace(spans=[span()], feedback=[])
        self.refusal = "Forbidden"
        self.environment = {f"ARTANIS_{name.upper()}": value for name, value in server.credentials.items()}
        server.answers.append(self.answer)

    def answer(self, request: Request) -> Answer:
        if request.headers["x-org-slug"] != "my-org":
            return Answer(403, {"error": self.refusal})
        path = request.path.partition("?")[0].removeprefix("/api/")
        history = {**self.prompts[0], "versions": self.versions} if self.prompts else None
        bodies = {"prompts": {"prompts": self.prompts}, "traces": {"traces": [self.trace]}}
        return Answer(200, bodies.get(path) or (history if path.startswith("prompts/") else self.trace))

    def show(self) -> str:
        done = run("--live", **self.environment)
        assert done.returncode == 0
        assert KEY not in done.stdout
        return done.stdout


@pytest.fixture
def project(server: Server) -> Project:
    return Project(server)


@pytest.fixture(scope="module")
def shown() -> str:
    """What the demo prints without arguments."""
    done = run_process()
    assert done.returncode == 0
    return done.stdout


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(traces=30, now=NOW) as running:
        yield running


def test_sections(shown: str) -> None:
    """Without arguments, it shows its five sections, and not the key."""
    assert titles(shown) == TITLES
    assert width(shown) == 100
    assert "sandbox-key" not in shown
    assert re.search(r"^12 requests in \d+ ms.* README.md$", shown, re.MULTILINE)


def test_captions(shown: str) -> None:
    """The Python that a section is said to come from is a line of the demo."""
    _, *fetching, _, _ = re.findall("^>>> (.+)$", shown, re.MULTILINE)
    assert len(fetching) == 3
    assert {*fetching} <= {line.strip() for line in DEMO.read_text(encoding="utf-8").splitlines()}


def test_colours() -> None:
    """A terminal gets colours, unless NO_COLOR is set."""
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "80"}
    removed = "\x1b[31m-\x1b[0m\x1b[31mDo not promise refunds."
    assert removed in run(**terminal).stdout
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", run(**terminal, NO_COLOR="1").stdout)


def test_prompts(shown: str) -> None:
    """It shows what the prompts are about, and how the last changed one was changed."""
    assert re.search(r"^classify +2026-04-13 08:05 +You sort the messages", part(shown, TITLES[0]), re.MULTILINE)
    diff = [line.rstrip() for line in part(shown, TITLES[1]).splitlines()]
    assert "+++ answer, v3 of 3, 2026-04-16 16:30" in diff
    assert "-Do not promise refunds." in diff
    assert "+Copy dates, amounts and order numbers exactly." in diff


def test_reviews(shown: str) -> None:
    """The sandbox's newest traces hold one with every outcome and with feedback, and that is the one shown."""
    rows = [line for line in part(shown, TITLES[2]).splitlines() if " 2026-" in line]
    assert len(rows) == 8
    tree = part(shown, TITLES[3])
    for expected in ("✓ accepted", "✎ corrected", "○ not reviewed yet", "feedback  “", "input   ", "└── "):
        assert expected in tree
    assert re.search(r"^ +\+", tree, re.MULTILINE)
    assert any(re.match("[0-9a-f]{8}.*✓ .*✎ .*○ .*“ ", row) and f"trace {row[:8]}-" in tree for row in rows)


def test_mistake(shown: str) -> None:
    """The message of the error says where the wrong organization came from."""
    mistake = re.sub(r"[\s│]+", " ", part(shown, TITLES[4]))
    assert "PermissionDeniedError" in mistake
    assert "403 Forbidden. The organization 'no-such-org' came from the argument org_slug" in mistake


def test_live_without_credentials() -> None:
    """--live without credentials says what to set, and exits with 2."""
    done = run("--live")
    assert done.returncode == 2
    assert "CredentialsError" in done.stdout
    assert "Set ARTANIS_API_KEY" in done.stdout


def test_live_without_project(project: Project) -> None:
    """--live without a project says so, and exits with 2."""
    done = run("--live", **{**project.environment, "ARTANIS_PROJECT_SLUG": ""})
    assert done.returncode == 2
    assert "No project." in done.stdout


def test_live(sandbox: Sandbox) -> None:
    """--live reads with the credentials of the environment, few of the traces, and does not show the key."""
    before = sandbox.request_count
    done = run("--live", **sandbox.environment)
    assert done.returncode == 0
    assert titles(done.stdout) == TITLES
    assert sandbox.api_key not in done.stdout
    assert sandbox.request_count - before == 12
    assert ">>> client = Artanis()\n" in done.stdout


def test_live_refused(sandbox: Sandbox) -> None:
    """An error of the API ends it with one panel, without a traceback, and with 1."""
    done = run("--live", **{**sandbox.environment, "ARTANIS_API_KEY": "one-that-was-revoked"})
    assert done.returncode == 1
    assert done.stdout.count("╭") == 1
    assert "AuthenticationError" in done.stdout
    assert "one-that-was-revoked" not in done.stdout


def test_empty_project(sandbox: Sandbox) -> None:
    """A project without prompts and traces is said to have none."""
    done = run("--live", **{**sandbox.environment, "ARTANIS_PROJECT_SLUG": "new-project"})
    assert done.returncode == 0
    assert titles(done.stdout) == [TITLES[0], TITLES[2], TITLES[4]]
    assert "no prompts yet" in done.stdout
    assert "no traces yet" in done.stdout


def test_proxy(project: Project) -> None:
    """A proxy of the environment is not asked for the sandbox."""
    assert run(HTTP_PROXY=project.environment["ARTANIS_BASE_URL"]).returncode == 0


def test_little_to_show(project: Project) -> None:
    """A prompt with one version, and a trace without spans, are no problem."""
    project.versions = project.versions[1:]
    project.trace = trace(spans=[], feedback=[], metadata=None)
    shown = project.show()
    assert "There is no version before the active one of classify yet." in part(shown, TITLES[1])
    assert "0 spans" in part(shown, TITLES[3])


def test_unchanged_text(project: Project) -> None:
    """Two versions with the same text are said to be the same."""
    project.versions = [{**version, "content": "Same."} for version in project.versions]
    assert "The two are the same." in part(project.show(), TITLES[1])


@pytest.mark.parametrize(
    ("output", "approved", "outcome"),
    [
        ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1.0}, "accepted"),
        ({"a": [1, 2]}, {"a": [2, 1]}, "corrected"),
        ({"a": 1}, {"a": True}, "corrected"),
        (0, False, "corrected"),
        ("1", 1, "corrected"),
        ([], {}, "corrected"),
        (False, False, "accepted"),
        ("text", None, "not reviewed yet"),
    ],
)
def test_outcome(project: Project, output: object, approved: object, outcome: str) -> None:
    """Outputs are compared as JSON: numbers by value, objects without regard to order, booleans as no numbers."""
    project.trace = trace(spans=[span(output=output, approvedOutput=approved)], feedback=[])
    assert re.search(f"classify  . {outcome}$", part(project.show(), TITLES[3]), re.MULTILINE)


def test_tree(project: Project) -> None:
    """Spans stand below their parents, whatever their order; those without one in the trace stand at the top."""
    parents = {"leaf": "branch", "branch": "root", "root": None, "orphan": "lost"}
    project.trace = trace(
        spans=[span(id=name, stepId=name, parentSpanId=parent) for name, parent in parents.items()], feedback=[]
    )
    tree = part(project.show(), TITLES[3])
    assert re.findall(r"^(.*[├└]── \w+)", tree, re.MULTILINE) == [
        "├── root",
        "│   └── branch",
        "│       └── leaf",
        "└── orphan",
    ]


def test_many_spans(project: Project) -> None:
    """A trace with very many spans, one below the other, is cut, and the rest counted."""
    project.trace = trace(
        spans=[span(id=f"s{n}", parentSpanId=f"s{n - 1}" if n else None) for n in range(1200)], feedback=[]
    )
    assert "… 1150 more spans" in project.show()


def test_text_of_the_server(project: Project) -> None:
    """Control characters in what the server says are shown as escapes, and markup as it is written."""
    project.prompts = [{**PROMPT, "stepId": NASTY, "content": NASTY}]
    project.versions = [{**version, "content": f"{NASTY}\n{version['id']}"} for version in project.versions]
    note = {"id": "f", "spanId": "a", "userId": "u", "content": NASTY, "createdAt": "2026-04-09T12:00:00.000Z"}
    project.trace = trace(
        status=NASTY,
        metadata={NASTY: NASTY},
        spans=[
            span(id="a", stepId=NASTY, input=NASTY, output={NASTY: 1}, approvedOutput={NASTY: 2}),
            span(id="b", output=NASTY, approvedOutput=f"{NASTY}!"),
        ],
        feedback=[note],
    )
    project.refusal = NASTY
    shown = project.show()  # which looks for control characters
    assert titles(shown) == TITLES
    for title in TITLES:
        assert r"\x1b[31m[red]" in part(shown, title)
    assert "東京" in part(shown, TITLES[3])
    assert width(shown) == 100


def test_other_encodings(project: Project) -> None:
    """What the output cannot encode is escaped."""
    project.prompts = [{**PROMPT, "content": "東京"}]
    done = run_process("--live", **project.environment, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert r"\u6771\u4eac" in done.stdout
