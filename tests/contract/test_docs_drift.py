"""`make docs-drift` and `make docs-drift-accept`: what moved in the documentation behind the contract."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

import docs_drift
from support import Answer, Request, Server

pytestmark = pytest.mark.tooling

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "docs-drift.yml"

TRACES = """\
# Traces

## List traces

### Response

```bash
# not a heading
```

## Get a trace

### Response

With spans.
"""
MARKDOWN = {"content-type": "text/markdown; charset=utf-8"}


class Site:
    """A documentation site, the contract that names three pages of it, and what is recorded of them."""

    def __init__(self, server: Server, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.server, self.folder, self.capsys = server, folder, capsys
        self.url = server.url
        self.pages: dict[str, str | bytes | Answer] = {
            "/authentication.md": "# Authentication\n\nTwo headers.\n",
            "/rest-api/overview.md": "# Overview\n",
            "/rest-api/traces.md": TRACES,
        }
        self.listed = ["authentication", "quickstart", "rest-api/overview", "rest-api/traces"]
        self.spec, self.fingerprints = folder / "openapi.yaml", folder / "fingerprints.json"
        self.contract: dict[str, Any] = {
            "externalDocs": {"url": f"{self.url}/rest-api/overview"},
            "paths": {
                "/traces": {"get": {"externalDocs": {"url": f"{self.url}/rest-api/traces#list"}}},
                "/traces/{id}": {"get": {"externalDocs": {"url": f"{self.url}/rest-api/traces"}}},
            },
            "components": {
                "securitySchemes": {
                    "Key": {"description": f"A key. See {self.url}/authentication.\nNot https://example.com/keys."}
                }
            },
        }
        server.answers = [self.answer]

    def answer(self, request: Request) -> Answer:
        if request.path == "/llms.txt" and "/llms.txt" not in self.pages:
            links = "\n".join(f"- [{page}]({self.url}/{page}.md): a page" for page in self.listed)
            return Answer(200, f"# Docs\n\n{links}\n- [Elsewhere](https://example.com/rest-api/x)\n".encode(), MARKDOWN)
        page = self.pages.get(request.path, Answer(404, b"# Page not found", MARKDOWN))
        if isinstance(page, Answer):
            return page
        return Answer(200, page if isinstance(page, bytes) else page.encode(), MARKDOWN)

    @property
    def arguments(self) -> list[str]:
        self.spec.write_text(yaml.safe_dump(self.contract), encoding="utf-8")
        # Only a hang takes this long. A test of the time limit overrides it with a second --timeout.
        return ["--spec", str(self.spec), "--fingerprints", str(self.fingerprints), "--timeout", "300"]

    def run(self, *more: str) -> tuple[int, str, str]:
        """Return the exit status, and what was printed, with the site's address cut off."""
        status = docs_drift.main([*self.arguments, *more])
        printed = self.capsys.readouterr()
        return status, printed.out.replace(self.url, ""), printed.err.replace(self.url, "")

    def accept(self) -> None:
        status, _, errors = self.run("--accept")
        assert (status, errors) == (0, "")

    def drift(self) -> list[str]:
        """Return the bullets about what moved, after which stands what to do."""
        status, printed, _ = self.run()
        bullets, advice = printed.split("\n\n")
        assert (status, advice) == (1, f"{docs_drift.ADVICE}\n")
        return bullets.splitlines()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA file with one certificate. Loading the usual ones takes longer than most tests here, and none uses TLS."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return path


@pytest.fixture
def site(
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    authority: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    return Site(server, tmp_path, capsys)


def test_nothing_moved(site: Site) -> None:
    """After an accept everything is as recorded: the pages that the contract names, by their Markdown."""
    site.accept()
    del site.server.requests[:]
    expected = "As recorded:\n- /authentication\n- /rest-api/overview\n- /rest-api/traces\n"
    assert site.run() == (0, expected, "")
    asked = ["/llms.txt", "/authentication.md", "/rest-api/overview.md", "/rest-api/traces.md"]
    assert [request.path for request in site.server.requests] == asked


def test_a_changed_page(site: Site) -> None:
    """A change is located by the headings that lead to it; a heading of which there are several is not confused."""
    site.accept()
    site.pages["/rest-api/traces.md"] = TRACES.replace("With spans", "Without spans").replace("## List", "## All")
    assert site.drift() == [
        "- /rest-api/traces",
        "  - section appeared: `Traces > All traces`",
        "  - section appeared: `Traces > All traces > Response`",
        "  - section changed: `Traces > Get a trace > Response`",
        "  - section vanished: `Traces > List traces`",
        "  - section vanished: `Traces > List traces > Response`",
    ]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("# Traces\n", "Preview.\n# Traces\n", "section appeared: `(before the first heading)`"),
        ("# not a heading", "# another comment", "section changed: `Traces > List traces > Response`"),
        ("With spans.", "With  spans.", "section changed: `Traces > Get a trace > Response`"),
        ("With spans.", "With spans.\n\n    ## `Nested`\x1b", "section appeared: `Traces > Nested`"),
        (
            "With spans.",
            "````\n```\n# no\n````\n### Response",
            "section appeared: `Traces > Get a trace > Response (2)`",
        ),
        ("\n\n### Response\n\nWith", "\n\n\n### Response\n\nWith", "changed: the same sections"),
        ("# Traces", "# traces", "section appeared: `traces`"),
    ],
)
def test_every_change_counts(site: Site, old: str, new: str, line: str) -> None:
    """Whatever a page says otherwise is drift, and something is said of it, whole and printable."""
    site.accept()
    assert TRACES.count(old) == 1
    site.pages["/rest-api/traces.md"] = TRACES.replace(old, new)
    found = site.drift()
    assert found[0] == "- /rest-api/traces"
    assert any(bullet.startswith(f"  - {line}") for bullet in found[1:])
    assert all(bullet.isprintable() for bullet in found)


@pytest.mark.parametrize(("old", "new"), [("\n", "\r\n"), ("\n", "\r"), (".\n", ". \t\n"), (".\n", ".\n\n\n")])
def test_line_ends_are_no_change(site: Site, old: str, new: str) -> None:
    """How lines end, white space at their ends, and empty lines at the end of the page make no difference."""
    site.accept()
    site.pages["/rest-api/traces.md"] = TRACES.replace(old, new).encode()
    assert site.run()[0] == 0


def test_a_page_appeared(site: Site) -> None:
    """A page is new if the index lists it under /rest-api or the contract names it; others do not matter."""
    site.accept()
    site.listed += ["rest-api/feedback", "changelog", "rest-apis"]
    site.contract["tags"] = [{"externalDocs": {"url": f"{site.url}/prompts/"}}]
    site.pages |= {"/rest-api/feedback.md": "# Feedback\n", "/prompts.md": "# Prompts\n"}
    assert site.drift() == [
        "- /prompts",
        "  - appeared: the contract names it",
        "- /rest-api/feedback",
        "  - appeared: llms.txt lists it",
    ]
    site.accept()
    site.pages["/rest-api/feedback.md"] = "# Feedback\n\nMore.\n"
    assert site.drift() == ["- /rest-api/feedback", "  - section changed: `Feedback`"]


@pytest.mark.parametrize("status", [404, 410])
def test_a_page_vanished(site: Site, status: int) -> None:
    """A page that the site says is gone has vanished, and is not accepted while the contract names it."""
    site.accept()
    recorded = site.fingerprints.read_bytes()
    site.pages["/rest-api/traces.md"] = Answer(status, b"# Gone", MARKDOWN)
    expected = ["- /rest-api/traces", "  - vanished: the site answers 404 or 410"]
    assert site.drift() == expected
    status, printed, _ = site.run("--accept")
    assert (status, printed.splitlines()[:2]) == (1, expected)
    assert site.fingerprints.read_bytes() == recorded


def test_a_page_that_nobody_names_any_more(site: Site) -> None:
    """A page that left the index, or that the contract dropped, has vanished, though the site still has it."""
    site.accept()
    site.listed.remove("rest-api/traces")
    site.pages["/rest-api/traces.md"] = TRACES.replace("With", "And")
    del site.contract["components"]
    assert site.drift() == [
        "- /authentication",
        "  - vanished: the contract names it no more",
        "  - vanished: llms.txt lists it no more",
        "- /rest-api/traces",
        "  - vanished: llms.txt lists it no more",
        "  - section changed: `Traces > Get a trace > Response`",
    ]
    site.accept()
    assert site.run()[0] == 0


def test_an_index_that_lists_too_much(site: Site) -> None:
    """What only the index names, and the site never had, is neither drift nor recorded."""
    site.listed.append("rest-api/openapi.json")
    site.accept()
    assert "openapi.json" not in site.fingerprints.read_text(encoding="utf-8")
    assert site.run()[0] == 0


def test_the_index_is_gone(site: Site) -> None:
    """Without an index its pages have vanished from it, and one can go on without it."""
    site.accept()
    site.pages["/llms.txt"] = Answer(404)
    lost = "  - vanished: llms.txt lists it no more"
    assert site.drift() == ["- /authentication", lost, "- /rest-api/overview", lost, "- /rest-api/traces", lost]
    status, _, errors = site.run("--accept")
    assert (status, errors) == (0, "/llms.txt is gone (404 or 410), so it lists nothing.\n")
    assert site.run()[0] == 0


HTML = b"<!DOCTYPE html><title>Log in</title>"


@pytest.mark.parametrize(("command", "path"), [([], "/llms.txt"), (["--accept"], "/rest-api/traces.md")])
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(500, b"# Oops", MARKDOWN), "status 500"),
        (Answer(429, b"# Slow down", MARKDOWN), "status 429"),
        (Answer(200, HTML, {"content-type": "text/html"}), "not a page in Markdown, but status 200, text/html"),
        (Answer(200, b"\n" + HTML, MARKDOWN), "not a page in Markdown"),
        (Answer(200, b"# Page"), "not a page in Markdown, but status 200, of no type"),
        (Answer(200, b" \n", MARKDOWN), "not a page in Markdown"),
        (Answer(200, b"# \xff", MARKDOWN), "cannot be read: 'utf-8' codec"),
        (Answer(200, b"# x\n" * 2**20, MARKDOWN), "more than 2097152 bytes"),
        (
            Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-type: text/markdown\r\ncontent-length: 9\r\n\r\n# x"),
            "cannot be read",
        ),
        (Answer(200, b"# x", {**MARKDOWN, "content-encoding": "gzip"}), "cannot be read"),
        (Answer(raw=b"SSH-2.0\r\n"), "cannot be read"),
        (Answer(reset=True), "cannot be read"),
        (Answer(302, b"", {"location": "https://login.example.com/"}), "redirects to another site, https://login."),
        (Answer(302, b"", {"location": "http://h:port"}), "cannot be read"),
        (Answer(302), "not a page in Markdown, but status 302"),
        (Answer(302, b"", {"location": "?again"}), "redirects again and again"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_site_that_cannot_be_read(site: Site, command: list[str], path: str, answer: Answer, words: str) -> None:
    """Whatever is neither a page nor the word that it is gone is said in a sentence, and leaves the record alone."""
    site.fingerprints.write_bytes(b"{}")
    site.pages |= {path: answer, f"{path}?again": answer}
    status, printed, errors = site.run(*command)
    assert (status, printed) == (5, "")
    assert errors.splitlines()[-1].startswith(path)
    assert words in errors
    assert {file.name: file.read_bytes() for file in site.folder.glob("*finger*")} == {"fingerprints.json": b"{}"}


def test_an_index_without_pages(site: Site) -> None:
    """A text that links to no page is no index, whatever its type: half the pages would seem to have vanished."""
    site.accept()
    site.pages["/llms.txt"] = "Log in at https://example.com to use this network."
    assert site.run() == (5, "", "/llms.txt: the answer links to no page of this site, so it is no index.\n")


def test_no_server(site: Site) -> None:
    """A refused connection is said in a sentence."""
    site.accept()
    site.server.close()
    status, printed, errors = site.run()
    assert (status, printed) == (5, "")
    assert errors.startswith("/llms.txt cannot be read: ")


def test_no_answer_in_time(site: Site) -> None:
    """The time limit holds for a server that says nothing."""
    site.accept()
    site.pages["/llms.txt"] = Answer(hold=threading.Event())  # the first page, so none has to arrive in time
    assert site.run("--timeout", "0.3") == (5, "", "/llms.txt: no whole answer within 0.3 s.\n")


@pytest.fixture
def dripping() -> Iterator[str]:
    """The address of a server whose answer never ends, a byte at a time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stopped = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):  # the client gives up at any time
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/markdown\r\n\r\n")
                while not stopped.wait(0.02):
                    connection.sendall(b"#")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        stopped.set()
        socket.create_connection(listener.getsockname()).close()  # in case the client gave up before it connected
        thread.join()


def test_no_end_in_time(site: Site, dripping: str) -> None:
    """The time limit holds for the whole of an answer, however steadily it comes."""
    site.contract = {"externalDocs": {"url": f"{dripping}/rest-api/overview"}}
    _, _, errors = site.run("--accept", "--timeout", "0.3")
    assert errors == f"{dripping}/llms.txt: no whole answer within 0.3 s.\n"


def test_a_redirect_within_the_site(site: Site) -> None:
    """A page that moved within the site is read where it is now, and that it moved is said."""
    site.accept()
    site.pages["/api/traces.md"] = site.pages["/rest-api/traces.md"]
    site.pages["/rest-api/traces.md"] = Answer(308, b"", {"location": "/api/traces.md"})
    status, _, errors = site.run()
    assert (status, errors) == (0, "/rest-api/traces.md redirects to /api/traces.md.\n")


def test_no_credentials(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither key, netrc file, user info nor cookies tell the site who asks; what could is named here to be seen."""
    netrc = site.folder / ".netrc"  # HOME is this folder
    netrc.write_text("machine 127.0.0.1 login somebody password something\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("ARTANIS_API_KEY", "a-key-of-no-value")
    monkeypatch.setenv("ARTANIS_ORG_SLUG", "my-org")
    with_user = site.url.replace("://", "://somebody:something@")
    site.contract["externalDocs"]["url"] = f"{with_user}/rest-api/overview"
    site.pages |= {"/moved.md": "# Moved\n", "/too.md": "# Moved too\n"}
    site.pages["/rest-api/overview.md"] = Answer(302, b"", {"location": f"{with_user}/moved.md"})
    site.pages["/rest-api/traces.md"] = Answer(302, b"", {"location": "/too.md", "set-cookie": "session=1; Path=/"})
    assert site.run("--accept")[0] == 0
    assert {"/moved.md", "/too.md"} <= {request.path for request in site.server.requests}
    sent = {name for request in site.server.requests for name in request.headers}
    of_tracing = {"baggage", "sentry-trace", "traceparent"}  # by libraries that other tests set up in this process
    assert sent - of_tracing == {"host", "accept", "accept-encoding", "connection", "user-agent"}
    assert "some" not in site.fingerprints.read_text(encoding="utf-8")


def test_what_is_recorded(site: Site) -> None:
    """The record is the same for the same pages in any order, and contains headings but no text."""
    site.accept()
    first = site.fingerprints.read_text(encoding="utf-8")
    site.listed.reverse()
    site.contract["paths"] = dict(reversed(site.contract["paths"].items()))
    site.accept()
    assert site.fingerprints.read_text(encoding="utf-8") == first
    recorded = json.loads(first)
    assert list(recorded) == [
        f"{site.url}/authentication",
        f"{site.url}/rest-api/overview",
        f"{site.url}/rest-api/traces",
    ]
    assert list(recorded[f"{site.url}/authentication"]["sections"]) == ["Authentication"]
    assert "Two headers" not in first
    site.fingerprints.write_text(json.dumps(dict(reversed(recorded.items()))), encoding="utf-8")
    assert site.run()[0] == 0


@pytest.mark.parametrize("text", ["", '{"https://docs', "[]", "null", '{"x": 1}', '{"x": {"sha256": ""}}', "\udcff"])
def test_a_record_that_cannot_be_read(site: Site, text: str) -> None:
    """A record that is half written or something else is said to be so, before any request; an accept puts it right."""
    site.fingerprints.write_bytes(text.encode(errors="surrogateescape"))
    status, printed, errors = site.run()
    assert (status, printed, site.server.requests) == (2, "", [])
    assert errors.startswith(f"{site.fingerprints} cannot be read")
    assert errors.endswith("or record it anew with `make docs-drift-accept`.\n")
    site.accept()
    assert site.run()[0] == 0


def test_nothing_recorded_yet(site: Site) -> None:
    """Without a record the command says how to make one, once the site has answered."""
    status, printed, errors = site.run()
    assert (status, printed) == (2, "")
    assert "nothing is recorded yet. `make docs-drift-accept` does it, with network." in errors


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("a: [", "cannot be read"),
        ("a: 2026-13-01", "cannot be read"),
        ("- openapi", "no `externalDocs` says"),
        ("externalDocs: {url: ./overview}", "no `externalDocs` says"),
        ("externalDocs: {url: 'https://h:port/x'}", "cannot be read"),
    ],
)
def test_a_contract_that_names_no_pages(site: Site, text: str | None, words: str) -> None:
    """A contract that is missing, unreadable, or names no page is wrong usage."""
    arguments = ["--accept", *site.arguments]
    site.spec.unlink()
    if text:
        site.spec.write_text(text, encoding="utf-8")
    assert docs_drift.main(arguments) == 2
    assert words in site.capsys.readouterr().err


def test_a_record_that_cannot_be_written(site: Site) -> None:
    """A record that cannot take its place leaves nothing behind."""
    site.fingerprints.mkdir()
    status, printed, errors = site.run("--accept")
    assert (status, printed) == (2, "")
    assert errors.startswith(f"{site.fingerprints} cannot be written")
    assert sorted(path.name for path in site.folder.iterdir()) == ["fingerprints.json", "openapi.yaml"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HTTP_PROXY", "socks5://127.0.0.1:9", "The environment's proxy or certificates cannot be used: "),
        ("HTTP_PROXY", "x://y", "The environment's proxy or certificates cannot be used: "),
        ("HTTP_PROXY", "http://127.0.0.1:99999", "/llms.txt cannot be read: "),
        ("SSL_CERT_FILE", "/none", "The environment's proxy or certificates cannot be used: "),
    ],
)
def test_an_environment_of_no_use(
    site: Site, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    """A proxy or a certificate file that cannot be used is said in a sentence."""
    monkeypatch.setenv(name, value)
    status, _, errors = site.run("--accept")
    assert (status, len(errors.splitlines())) == (5, 1)
    assert errors.startswith(words)


def test_json(site: Site) -> None:
    """`--json` prints the same for programs."""
    site.accept()
    assert site.run("--json") == (0, "{}\n", "")
    site.pages["/rest-api/overview.md"] = "# Overview\n\nNew.\n"
    status, printed, _ = site.run("--json")
    assert (status, json.loads(printed)) == (1, {"/rest-api/overview": ["section changed: `Overview`"]})


def test_the_command(site: Site, run_script: Callable[..., object]) -> None:
    """On the command line the exit status says what happened."""

    def status(*more: str) -> object:
        return run_script("docs_drift.py", *site.arguments, *more)

    assert [status("--accept"), status(), status("--accpet-it")] == [0, 0, 2]
    site.pages["/rest-api/overview.md"] = "# Overview\n\nNew.\n"
    assert status() == 1
    command = [sys.executable, str(ROOT / "scripts" / "docs_drift.py"), *site.arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(f"- {site.url}/rest-api/overview\n")
    site.server.close()
    assert status() == 5


def test_the_contract_of_this_project() -> None:
    """In openapi.yaml both ways of naming a page are seen."""
    pages = {"https://docs.artanis.ai/authentication", "https://docs.artanis.ai/rest-api/overview"}
    assert docs_drift.named_pages(ROOT / "openapi.yaml") >= pages


@pytest.mark.parametrize(
    ("script", "issue", "status", "asked"),
    [
        ("exit 0", "", 0, []),
        ("echo moved; exit 1", "", 0, ["issue list", "label create", "issue create"]),
        ("echo moved; exit 1", "7", 0, ["issue list", "issue edit 7"]),
        ("exit 1", "", 1, []),
        ("exit 2", "", 2, []),
        ("exit 5", "", 5, []),
    ],
    ids=["in step", "drift", "drift again", "crash", "nothing recorded", "no site"],
)
def test_the_workflow(tmp_path: Path, script: str, issue: str, status: int, asked: list[str]) -> None:
    """Drift opens one issue or keeps it up to date; whatever else is wrong fails the run and opens none."""
    log, output = tmp_path / "log", tmp_path / "output"
    gh = f'echo "$*" >> {log}\nif [ "$2" = list ]; then echo "{issue}"; fi'
    for name, text in ((".venv/bin/python", script), ("bin/gh", gh)):
        program = tmp_path / name
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        program.chmod(0o755)
    for file in (log, output):
        file.touch()
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    environment |= {"RUNNER_TEMP": str(tmp_path), "GITHUB_OUTPUT": str(output)}

    def run(step: dict[str, Any]) -> int:
        return subprocess.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=environment, check=False).returncode

    compare, keep = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["docs-drift"]["steps"][-2:]
    assert run(compare) == status
    if output.read_text(encoding="utf-8") == "drift=yes\n":
        assert run(keep) == 0
    requests = [
        line.split(" --")[0].removesuffix(" docs-drift") for line in log.read_text(encoding="utf-8").splitlines()
    ]
    assert requests == asked
