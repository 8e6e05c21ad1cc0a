"""Pulling prompts into a directory, comparing it with upstream, and comparing versions."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import unquote

import attrs
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from artanis_client import (
    APIResponseValidationError,
    Artanis,
    ArtanisError,
    NotFoundError,
    PromptConflictError,
    PromptsStatus,
    PullReport,
    aprompts_status,
    apull_prompts,
    diff_versions,
    models,
    prompts_status,
    pull_prompts,
)
from artanis_client.prompts import _pull
from artanis_client.sandbox import Sandbox
from support import PROMPT, Answer, Both, Request, Server, mount, unmeasured

text = st.text(st.characters(exclude_categories=()))  # lone surrogates, too
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs fork, signals and limits")

TWO = {"classify": "Answer with one label.", "tone": "Is it friendly?"}


def version(version_id: str, content: str, *, active: bool = False) -> dict[str, Any]:
    return {"id": version_id, "content": content, "isActive": active, "createdAt": "2026-04-02T10:00:00.000Z"}


def serve(server: Server, contents: dict[str, str], schema: Any = None, **changes: list[dict[str, Any]]) -> None:
    """Let the server return a prompt for each step; `changes` are the versions of some, by id."""
    listed = [
        {**PROMPT, "id": f"p{index}", "stepId": step, "content": content, "outputSchema": schema}
        for index, (step, content) in enumerate(contents.items())
    ]
    details = {
        prompt["id"]: {**prompt, "versions": [version("v0", "old"), version("v1", prompt["content"], active=True)]}
        for prompt in listed
    }
    for id_, versions in changes.items():
        details[id_]["versions"] = versions

    def answer(request: Request) -> Answer:
        if request.path.startswith("/api/prompts?"):
            return Answer(body={"prompts": listed})
        detail = details.get(request.path.rpartition("/")[2])
        return Answer(body=detail) if detail else Answer(404, {"error": "Not found"})

    server.answers[:] = [answer]


def seen(directory: Path) -> dict[str, Any]:
    """Return the content of each file in a directory, and the target of each link."""
    return {
        path.name: path.readlink() if path.is_symlink() else None if path.is_dir() else path.read_bytes()
        for path in directory.iterdir()
    }


def touched(directory: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in directory.iterdir()}


@pytest.fixture
def client(server: Server) -> Iterator[Artanis]:
    with Artanis(**server.credentials) as client:
        yield client


@pytest.fixture
def pulled(server: Server, client: Artanis, tmp_path: Path) -> Path:
    """A directory with the two prompts, just pulled."""
    serve(server, TWO)
    pull_prompts(client, tmp_path / "prompts")
    return tmp_path / "prompts"


def test_what_is_written(both: Both, server: Server, tmp_path: Path) -> None:
    """A pull writes a file for each content and schema, and a manifest that does not depend on the time of the pull."""
    serve(server, {"tone": "Is it friendly?", "classify": "Ünë label.\n"}, {"type": "object", "é": [1, 2.5]})
    directory = tmp_path / "a" / "b"
    pull, status = (apull_prompts, aprompts_status) if both.is_async else (pull_prompts, prompts_status)
    assert both.run(lambda client: status(client, directory)) == PromptsStatus(
        pulled=False, new=("classify", "tone"), changed=(), gone=(), edited=(), missing=()
    )
    assert not directory.parent.exists()
    files = ("classify.md", "classify.schema.json", "tone.md", "tone.schema.json")
    assert both.run(lambda client: pull(client, directory)) == PullReport(written=files, removed=(), kept=())
    assert both.run(lambda client: status(client, directory)).clean
    assert [request.path for request in server.requests[:3]] == [
        "/api/prompts?projectSlug=my-project",
        "/api/prompts/p0",
        "/api/prompts/p1",
    ]
    assert len(server.requests) == 9
    found = seen(directory)
    schema = '{\n  "type": "object",\n  "é": [\n    1,\n    2.5\n  ]\n}\n'.encode()
    assert {name: data for name, data in found.items() if name != "prompts.json"} == {
        "classify.md": "Ünë label.\n".encode(),
        "classify.schema.json": schema,
        "tone.md": b"Is it friendly?",
        "tone.schema.json": schema,
    }
    manifest = json.loads(found["prompts.json"])
    assert list(manifest["prompts"]) == ["classify", "tone"]
    assert {key: value for key, value in manifest.items() if key != "prompts"} == {
        "format": "artanis-prompts-1",
        "base_url": server.url,
        "org_slug": "my-org",
        "project_slug": "my-project",
    }
    assert manifest["prompts"]["tone"] == {
        "id": "p0",
        "created_at": "2026-04-01T12:00:00+00:00",
        "updated_at": "2026-04-08T09:30:00+00:00",
        "version_id": "v1",
        "version_created_at": "2026-04-02T10:00:00+00:00",
        "files": {
            "tone.md": hashlib.sha256(b"Is it friendly?").hexdigest(),
            "tone.schema.json": hashlib.sha256(schema).hexdigest(),
        },
    }


@pytest.mark.parametrize(
    "content",
    ["", "no newline", "a\n", "a\r\nb\r\n", "a\rb", "\ufeffa", "a\0b", "a\u2028b\x85c", "😀 é e\u0301", "  \n\n\n"],
)
def test_content_is_kept_byte_for_byte(server: Server, client: Artanis, tmp_path: Path, content: str) -> None:
    """The file is the content in UTF-8, whatever its line endings, byte order mark and spaces."""
    serve(server, {"a": content})
    pull_prompts(client, tmp_path)
    assert (tmp_path / "a.md").read_bytes() == content.encode()
    assert prompts_status(client, tmp_path).clean


def test_lone_surrogates(server: Server, client: Artanis, tmp_path: Path) -> None:
    """Text that UTF-8 cannot express can be read back, and the JSON files stay valid."""
    serve(server, {"st\udcffep": "a\ud800b"}, {"key\ud800": "😀\udfff"})
    pull_prompts(client, tmp_path)
    [content], [schema] = tmp_path.glob("*.md"), tmp_path.glob("*.schema.json")
    assert content.read_text(encoding="utf-8", errors="surrogatepass") == "a\ud800b"
    assert json.loads(schema.read_text(encoding="utf-8")) == {"key\ud800": "😀\udfff"}
    assert json.loads((tmp_path / "prompts.json").read_text(encoding="utf-8"))["prompts"].keys() == {"st\udcffep"}
    assert prompts_status(client, tmp_path).clean


def test_schemas(server: Server, client: Artanis, tmp_path: Path) -> None:
    """Keys keep the API's order; without a schema there is no file, and removing the schema removes it."""
    serve(server, {"a": "x"}, {"z": 1, "a": {"c": 1, "b": 2}})
    pull_prompts(client, tmp_path)
    assert (tmp_path / "a.schema.json").read_text() == ('{\n  "z": 1,\n  "a": {\n    "c": 1,\n    "b": 2\n  }\n}\n')
    serve(server, {"a": "x"}, {})
    assert pull_prompts(client, tmp_path).written == ("a.schema.json",)
    assert (tmp_path / "a.schema.json").read_text() == "{}\n"
    serve(server, {"a": "x"}, None)
    assert prompts_status(client, tmp_path).changed == ("a",)
    assert pull_prompts(client, tmp_path).removed == ("a.schema.json",)
    assert set(seen(tmp_path)) == {"a.md", "prompts.json"}


def test_nothing_is_touched_when_nothing_changed(client: Artanis, pulled: Path) -> None:
    """A second pull rewrites no file."""
    before = touched(pulled)
    for force in (False, True):
        assert pull_prompts(client, pulled, force=force) == PullReport(written=(), removed=(), kept=())
    assert touched(pulled) == before


def test_git_shows_just_what_changed(tmp_path: Path) -> None:
    """Git shows only the file that changed, and only its lines in the manifest."""
    with Sandbox(traces=1) as sandbox, Artanis(**sandbox.credentials) as client:
        pull_prompts(client, tmp_path)
        before = seen(tmp_path)
        prompts = {prompt.step_id: prompt.id for prompt in client.prompts.list()}
        new = sandbox.add_version(prompts["classify"], "New.")
        assert prompts_status(client, tmp_path).changed == ("classify",)
        assert pull_prompts(client, tmp_path).written == ("classify.md",)
        after = seen(tmp_path)
        assert {name for name in after if after[name] != before[name]} == {"classify.md", "prompts.json"}
        changed = set(after["prompts.json"].splitlines()) - set(before["prompts.json"].splitlines())
        assert len(changed) == 4  # the hash, the version's id and date, and the date of the change
        assert new.encode() in after["prompts.json"]

        old = client.prompts.get(prompts["classify"]).versions[0]
        sandbox.activate_version(prompts["classify"], old.id)
        sandbox.remove_prompt(prompts["tone"])
        status = prompts_status(client, tmp_path)
        assert (status.changed, status.gone) == (("classify",), ("tone",))
        assert pull_prompts(client, tmp_path).removed == ("tone.md", "tone.schema.json")
        assert (tmp_path / "classify.md").read_bytes() == old.content.encode()
        assert "tone" not in json.loads((tmp_path / "prompts.json").read_bytes())["prompts"]
        assert prompts_status(client, tmp_path).clean


@pytest.mark.parametrize("upstream", [{**TWO, "classify": "New."}, {"tone": "New."}])
def test_an_edit_that_upstream_contradicts(
    server: Server, client: Artanis, pulled: Path, upstream: dict[str, str]
) -> None:
    """If an edited file was changed or removed upstream, nothing is written unless forced."""
    (pulled / "classify.md").write_bytes(b"Mine.")
    serve(server, {**upstream, "more": "Also new."})
    before = seen(pulled)
    status = prompts_status(client, pulled)
    assert (status.edited, status.new) == (("classify",), ("more",))
    assert "classify" in status.changed + status.gone
    with pytest.raises(PromptConflictError, match=r"classify\.md\. Nothing was written\. .* force=True") as caught:
        pull_prompts(client, pulled)
    assert seen(pulled) == before
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert error.files == ("classify.md",)
        assert str(pulled) in str(error)
    pull_prompts(client, pulled, force=True)
    assert seen(pulled).get("classify.md") == (b"New." if "classify" in upstream else None)
    assert prompts_status(client, pulled).clean


def test_an_edit_that_upstream_does_not_touch(server: Server, client: Artanis, pulled: Path) -> None:
    """An edit is kept, as git keeps it, while the rest is pulled; force overwrites it."""
    (pulled / "classify.md").write_bytes(b"Mine.")
    serve(server, {**TWO, "tone": "New."})
    for written in (("tone.md",), ()):
        assert pull_prompts(client, pulled) == PullReport(written=written, removed=(), kept=("classify.md",))
        assert (pulled / "classify.md").read_bytes() == b"Mine."
        assert prompts_status(client, pulled) == PromptsStatus(
            pulled=True, new=(), changed=(), gone=(), edited=("classify",), missing=()
        )
    assert pull_prompts(client, pulled, force=True).written == ("classify.md",)
    assert prompts_status(client, pulled).clean


def test_a_file_in_the_way(server: Server, client: Artanis, tmp_path: Path) -> None:
    """A file that no pull wrote is not overwritten unless it matches upstream; other files are left alone."""
    serve(server, TWO)
    (tmp_path / "classify.md").write_bytes(b"Mine.")
    (tmp_path / "tone.md").write_bytes(b"Is it friendly?")
    (tmp_path / "notes.md").write_bytes(b"Notes.")
    status = prompts_status(client, tmp_path)
    assert (status.pulled, status.new, status.edited) == (False, ("classify", "tone"), ("classify",))
    with pytest.raises(PromptConflictError) as caught:
        pull_prompts(client, tmp_path)
    assert caught.value.files == ("classify.md",)
    assert "prompts.json" not in seen(tmp_path)
    assert pull_prompts(client, tmp_path, force=True).written == ("classify.md",)
    assert seen(tmp_path)["notes.md"] == b"Notes."


def test_a_deleted_file(server: Server, client: Artanis, pulled: Path) -> None:
    """A deleted file is `missing` and restored; a deleted manifest is rewritten if the files match upstream."""
    (pulled / "tone.md").unlink()
    assert prompts_status(client, pulled) == PromptsStatus(
        pulled=True, new=(), changed=(), gone=(), edited=(), missing=("tone",)
    )
    assert pull_prompts(client, pulled).written == ("tone.md",)
    before = seen(pulled)
    (pulled / "prompts.json").unlink()
    assert not prompts_status(client, pulled).clean
    assert pull_prompts(client, pulled).written == ()
    assert seen(pulled) == before


def test_a_deleted_file_that_is_gone_upstream(server: Server, client: Artanis, pulled: Path) -> None:
    """A deleted file that is gone upstream, too, is forgotten."""
    (pulled / "tone.md").unlink()
    serve(server, {"classify": TWO["classify"]})
    status = prompts_status(client, pulled)
    assert (status.gone, status.missing) == (("tone",), ())
    assert pull_prompts(client, pulled) == PullReport(written=(), removed=(), kept=())
    assert prompts_status(client, pulled).clean


def test_no_prompts(server: Server, client: Artanis, tmp_path: Path) -> None:
    """An empty project is clean after a pull."""
    serve(server, {})
    assert not prompts_status(client, tmp_path).clean
    pull_prompts(client, tmp_path)
    assert attrs.asdict(prompts_status(client, tmp_path))["pulled"] is prompts_status(client, tmp_path).clean is True


@pytest.mark.parametrize("other", [{"org_slug": "o"}, {"project_slug": "p"}, {"project_slug": None, "project_id": "i"}])
def test_a_directory_of_another_project(server: Server, pulled: Path, other: dict[str, str]) -> None:
    """A directory of another project is refused even with force, and the error names both projects."""
    before = seen(pulled)
    with Artanis(**{**server.credentials, **other}) as client:
        for run in (prompts_status, pull_prompts, lambda *args: pull_prompts(*args, force=True)):
            with pytest.raises(
                ArtanisError, match=r"my-org, project_slug my-project, not to .*Choose another directory"
            ):
                run(client, pulled)
    assert seen(pulled) == before


def test_a_directory_of_another_host(pulled: Path) -> None:
    """A directory of another host is refused even if everything else is equal."""
    other = Server()
    serve(other, TWO)
    with Artanis(**other.credentials) as client, pytest.raises(ArtanisError, match=f"base_url {other.url}, .*Choose"):
        pull_prompts(client, pulled)
    other.close()


def test_a_project_by_id(both: Both, server: Server, tmp_path: Path) -> None:
    """The call takes a project by id, but not by slug and id at once."""
    serve(server, TWO)
    pull, status = (apull_prompts, aprompts_status) if both.is_async else (pull_prompts, prompts_status)
    both.run(lambda client: pull(client, tmp_path, project_id="i"))
    assert server.requests[0].path == "/api/prompts?projectId=i"
    manifest = json.loads((tmp_path / "prompts.json").read_bytes())
    assert (manifest["project_id"], manifest.get("project_slug")) == ("i", None)
    assert both.run(lambda client: status(client, tmp_path, project_id="i")).clean
    known = len(server.requests)
    for run in (pull, status):
        with pytest.raises(ValueError, match="not both"):
            both.run(partial(run, directory=tmp_path, project_slug="s", project_id="i"))
    assert len(server.requests) == known


@pytest.mark.parametrize("what", [pull_prompts, apull_prompts, prompts_status, aprompts_status, diff_versions])
def test_type_hints(what: Callable[..., object]) -> None:
    """The type hints can be resolved at run time."""
    assert "return" in get_type_hints(what)


def test_a_project_in_the_call(server: Server, client: Artanis, tmp_path: Path) -> None:
    """The project of the call replaces the client's, and the directory then belongs to it."""
    serve(server, TWO)
    pull_prompts(client, tmp_path, project_slug="else")
    assert server.requests[0].path == "/api/prompts?projectSlug=else"
    assert prompts_status(client, tmp_path, project_slug="else").clean
    for run in (prompts_status, pull_prompts):
        with pytest.raises(ArtanisError, match=r"project_slug else, not to .* project_slug my-project"):
            run(client, tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"<<<<<<< HEAD\n" + text,
        lambda text: text[:-9],
        lambda text: b"",
        lambda text: b"[]",
        lambda text: b"{}",
        lambda text: b'{"prompts": [1]}',
        lambda text: b'{"prompts": {"classify": null}}',
        lambda text: b'{"prompts": {"classify": {"files": ["classify.md"]}}}',
        lambda text: b"[" * 100_000,
        lambda text: b"\xff",
        lambda text: text.replace(b'"classify.md":', b'"../secret.md":'),
        lambda text: text.replace(b'"classify.md":', b'"tone.md":'),
        lambda text: text.replace(b"artanis-prompts-1", b"artanis-prompts-2"),
    ],
)
def test_a_damaged_manifest(client: Artanis, pulled: Path, damage: Callable[[bytes], bytes]) -> None:
    """A damaged manifest is refused with a reason, and cannot affect files outside the directory."""
    outside = pulled.parent / "secret.md"
    outside.write_bytes(b"Answer with one label.")
    manifest = pulled / "prompts.json"
    manifest.write_bytes(damage(manifest.read_bytes()))
    before = seen(pulled)
    for force in (False, True):
        with pytest.raises(
            ArtanisError, match=r"prompts\.json (is damaged or was not written by a pull \(.+\)|belongs to format .*-2)"
        ):
            pull_prompts(client, pulled, force=force)
    assert seen(pulled) == before
    assert outside.exists()


@posix
@pytest.mark.parametrize("target", ["Answer with one label.", "Mine.", None])
def test_links_are_not_followed(server: Server, client: Artanis, pulled: Path, target: str | None) -> None:
    """A link counts as an edit, wherever it leads; force replaces the link and not its target."""
    outside = pulled.parent / "outside.md"
    if target:
        outside.write_text(target)
    (pulled / "classify.md").unlink()
    (pulled / "classify.md").symlink_to(outside)
    assert prompts_status(client, pulled).edited == ("classify",)
    assert pull_prompts(client, pulled).kept == ("classify.md",)
    serve(server, {**TWO, "classify": "New."})
    with pytest.raises(PromptConflictError):
        pull_prompts(client, pulled)
    pull_prompts(client, pulled, force=True)
    assert seen(pulled)["classify.md"] == b"New."
    assert (outside.read_text() if outside.exists() else None) == target


@posix
def test_a_link_as_manifest(client: Artanis, pulled: Path) -> None:
    """A manifest that is a link is refused."""
    (pulled / "prompts.json").rename(pulled.parent / "real.json")
    (pulled / "prompts.json").symlink_to(pulled.parent / "real.json")
    with pytest.raises(ArtanisError, match="a link or a special file"):
        pull_prompts(client, pulled)


@posix
def test_a_pipe_in_the_way(server: Server, client: Artanis, tmp_path: Path) -> None:
    """A pipe counts as an edit, and reading it does not block."""
    serve(server, TWO)
    os.mkfifo(tmp_path / "tone.md")
    with pytest.raises(PromptConflictError):
        pull_prompts(client, tmp_path)


def test_a_directory_in_the_way(server: Server, client: Artanis, tmp_path: Path) -> None:
    """A directory in place of a file is never replaced, and nothing is written."""
    serve(server, TWO)
    (tmp_path / "tone.md").mkdir()
    for force in (False, True):
        with pytest.raises(IsADirectoryError, match=r"tone\.md"):
            pull_prompts(client, tmp_path, force=force)
    assert seen(tmp_path) == {"tone.md": None}


def test_a_file_as_directory(server: Server, client: Artanis, tmp_path: Path) -> None:
    """If the path is a file, the error names it, and the file stays."""
    serve(server, TWO)
    (tmp_path / "prompts").write_bytes(b"Mine.")
    with pytest.raises(OSError, match="prompts"):
        pull_prompts(client, tmp_path / "prompts")
    assert (tmp_path / "prompts").read_bytes() == b"Mine."


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root can write everywhere")
def test_a_read_only_directory(server: Server, client: Artanis, pulled: Path) -> None:
    """If the directory is read-only, the error names it, and nothing changes."""
    before = seen(pulled)
    serve(server, {"classify": "New."})
    pulled.chmod(0o555)
    with pytest.raises(PermissionError, match=re.escape(str(pulled))):
        pull_prompts(client, pulled)
    pulled.chmod(0o755)
    assert seen(pulled) == before


@pytest.mark.parametrize(
    ("versions", "problem"),
    [
        ([version("v0", "x")], "not 0"),
        ([], "not 0"),
        ([version("v0", "x", active=True), version("v1", "y", active=True)], "not 2"),
    ],
)
def test_not_one_active_version(
    server: Server, client: Artanis, tmp_path: Path, versions: list[dict[str, Any]], problem: str
) -> None:
    """Anything but one active version violates the contract, and nothing is written."""
    serve(server, TWO, p1=versions)
    with pytest.raises(APIResponseValidationError, match=rf"^GET {server.url}/api/prompts/p1: .*'tone' .* {problem}\."):
        pull_prompts(client, tmp_path / "prompts")
    assert not (tmp_path / "prompts").exists()


@pytest.mark.parametrize(("listed", "path"), [("", "prompts[*].id"), ("../x", "prompts[*].id"), ("p1", "id")])
def test_a_prompt_that_cannot_be_asked_for(
    server: Server, client: Artanis, tmp_path: Path, listed: str, path: str
) -> None:
    """A prompt with an impossible id, or with a history of another id, is an error, and nothing is written."""
    prompts, history = [{**PROMPT, "id": listed}], {**PROMPT, "versions": [version("v", "x", active=True)]}
    server.answers[:] = [lambda request: Answer(body={"prompts": prompts} if "?" in request.path else history)]
    with pytest.raises(APIResponseValidationError) as caught:
        pull_prompts(client, tmp_path / "prompts")
    assert caught.value.path == path
    assert not (tmp_path / "prompts").exists()


def test_files_of_others_beside_temporary_ones(server: Server, client: Artanis, tmp_path: Path) -> None:
    """Only the temporary files that a pull makes are removed."""
    serve(server, TWO)
    own = {".artanis-pull-0123456789abcdef.tmp", ".artanis-pull-0123456789abcdef.json"}
    others = {".artanis-pull-notes.md", ".artanis-pull-.json", "x.artanis-pull-0123456789abcdef.tmp"}
    (tmp_path / ".artanis-pull-folder").mkdir()
    for name in others:
        (tmp_path / name).write_text("mine")
    pull_prompts(client, tmp_path)
    for name in own:
        (tmp_path / name).write_bytes((tmp_path / "prompts.json").read_bytes())
    pull_prompts(client, tmp_path)
    left = {path.name for path in tmp_path.iterdir() if "artanis-pull" in path.name}
    assert left == {*others, ".artanis-pull-folder"}


def test_two_prompts_of_one_step(server: Server, client: Artanis, tmp_path: Path) -> None:
    """Two prompts of one step violate the contract, and nothing is written."""
    twins = [{**PROMPT, "id": "p1"}, {**PROMPT, "id": "p2"}]
    versions = [version("v", "x", active=True)]
    histories = {f"/api/prompts/{twin['id']}": {**twin, "versions": versions} for twin in twins}
    server.answers[:] = [lambda request: Answer(body=histories.get(request.path, {"prompts": twins}))]
    with pytest.raises(APIResponseValidationError, match="not two for 'classify'"):
        pull_prompts(client, tmp_path / "prompts")
    assert not (tmp_path / "prompts").exists()


def test_a_version_activated_during_the_pull(server: Server, client: Artanis, tmp_path: Path) -> None:
    """Content and version come from the same response."""
    serve(server, TWO, p0=[version("v1", TWO["classify"]), version("v2", "Newer.", active=True)])
    pull_prompts(client, tmp_path)
    assert (tmp_path / "classify.md").read_bytes() == b"Newer."
    assert json.loads((tmp_path / "prompts.json").read_bytes())["prompts"]["classify"]["version_id"] == "v2"


def test_a_prompt_removed_during_the_pull(server: Server, client: Artanis, pulled: Path) -> None:
    """If a prompt is removed during the pull, the API's error is raised, and nothing changes."""
    before = seen(pulled)
    server.answers[:] = [Answer(body={"prompts": [{**PROMPT, "content": "New."}]}), Answer(404, {"error": "Not found"})]
    with pytest.raises(NotFoundError):
        pull_prompts(client, pulled)
    assert seen(pulled) == before


@pytest.mark.parametrize(
    ("step", "stem"),
    [
        ("classify", "classify"),
        ("draft_reply-2.1", "draft_reply-2.1"),
        ("Classify", "%43lassify"),
        ("../x", "%2E.%2Fx"),
        ("a/b", "a%2Fb"),
        ("a\\b", "a%5Cb"),
        (".", "%2E"),
        ("..", "%2E."),
        ("-rf", "%2Drf"),
        ("CON", "%43%4F%4E"),
        ("con", "%63on"),
        ("con.txt", "%63on.txt"),
        ("aux", "%61ux"),
        ("com1", "%63om1"),
        ("com10", "com10"),
        ("console", "console"),
        ("lpt¹", "lpt%C2%B9"),
        ("x. ", "x.%20"),
        ("50%", "50%25"),
        ("%43lassify", "%2543lassify"),
        ("é", "%C3%A9"),
        ("e\u0301", "e%CC%81"),
        ("a~b", "a%7Eb"),
        ("a\nb:c*?", "a%0Ab%3Ac%2A%3F"),
        ("a.schema", "a.schema"),
        ("prompts", "prompts"),
        ("prompts.json", "prompts.json"),
        ("", "~e3b0c44298fc1c149afbf4c8996fb924"),
        ("a" * 240, "a" * 240),
        ("a" * 241, "a" * 200 + "~ec6e326ef29fe322b62111584194c54e"),
    ],
)
def test_file_names(step: str, stem: str) -> None:
    """A safe id is its own file name; other ids are percent-encoded, and very long ones are cut."""
    assert _pull.make_file_names(step) == (f"{stem}.md", f"{stem}.schema.json")
    assert "~" in stem or unquote(stem, errors="surrogatepass") == step


STEPS = [
    *("classify", "Classify", "../x", "a/b", "CON", "con.txt", "aux", "x.", "x ", ".x", "", "~", "é", "e\u0301"),
    *("a", "a.schema", "prompts", "prompts.json", "K", "k", "\u212a", "ß", "ss", "x" * 300, "x" * 299 + "y", "\ud800"),
]
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)(\.|$)", re.IGNORECASE)
ids = text | st.sampled_from(STEPS) | st.text("aA.cCoOnN~%/1é", max_size=6) | st.text("aÉ😀", min_size=60, max_size=300)


@pytest.mark.once
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sets(ids, min_size=1, max_size=4))
@example(set(STEPS))
def test_file_names_are_safe_and_distinct(steps: set[str]) -> None:
    """No two steps share a file, even if case and Unicode forms do not matter. Each name is safe on every system and
    decodes to the id, unless it was cut."""
    names = [name for step in steps for name in _pull.make_file_names(step)] + ["prompts.json"]
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == 2 * len(steps) + 1
    for name in names:
        assert re.fullmatch(r"[a-zA-Z0-9_.%~-]{1,255}", name)
        assert name[0] not in ".-"
        assert not RESERVED.match(name)
    for step in steps:
        stem = _pull.make_file_names(step)[0].removesuffix(".md")
        if "~" in stem:
            assert not step or len(stem) == 233
        else:
            assert unquote(stem, errors="surrogatepass") == step


def test_every_odd_step_has_its_files(server: Server, client: Artanis, tmp_path: Path) -> None:
    """Prompts with the oddest ids do not disturb each other, and leave no file when they are removed."""
    serve(server, {step: f"prompt of {step!r}" for step in STEPS}, {"type": "string"})
    assert len(pull_prompts(client, tmp_path / "prompts").written) == 2 * len(STEPS)
    assert prompts_status(client, tmp_path / "prompts").clean
    entries = json.loads((tmp_path / "prompts" / "prompts.json").read_bytes())["prompts"]
    for step in STEPS:
        [name] = [name for name in entries[step]["files"] if name.endswith(".md")]
        assert (tmp_path / "prompts" / name).read_text(encoding="utf-8") == f"prompt of {step!r}"
    serve(server, {})
    pull_prompts(client, tmp_path / "prompts")
    assert set(seen(tmp_path / "prompts")) == {"prompts.json"}
    assert set(seen(tmp_path)) == {"prompts"}


KILLED = """
import os, pathlib, shutil, signal, sys
from artanis_client import Artanis, _files, pull_prompts; from artanis_client.prompts import _pull

def in_pull(frame, event, argument):
    if (frame.f_code.co_filename, frame.f_code.co_name) == (_pull.__file__, "_pull"):
        return at_line
    if frame.f_code.co_filename == _files.__file__:
        return at_line

def at_line(frame, event, argument):
    global left
    left -= event == "line"
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return at_line

work, calls = _pull._pull, []
_pull._pull = lambda *arguments: calls.append(arguments)
with Artanis() as client:
    pull_prompts(client, sys.argv[1])  # once, because the responses are the same each time

for moment in range(1000):
    directory = shutil.copytree(sys.argv[1], f"{sys.argv[1]}-{moment:03}")
    child = os.fork()
    if not child:
        left = moment
        sys.settrace(in_pull)
        work(pathlib.Path(directory), *calls[0][1:])
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


@posix
@pytest.mark.once
def test_killed_at_every_line(tmp_path: Path) -> None:
    """A pull that is killed before any of its lines leaves only complete files. The next one finishes its work, even if
    another version has become active since."""
    start, finished, again = tmp_path / "prompts", tmp_path / "finished", tmp_path / "again"
    with Sandbox(traces=1) as sandbox, Artanis(**sandbox.credentials) as client:
        pull_prompts(client, start)
        prompts = {prompt.step_id: prompt.id for prompt in client.prompts.list()}
        sandbox.add_version(prompts["classify"], "New.\n" * 1000)
        sandbox.remove_prompt(prompts["tone"])
        pull_prompts(client, finished)
        subprocess.run(
            [sys.executable, "-c", KILLED, str(start)], env={**unmeasured(), **sandbox.environment}, check=True
        )
        old, new = seen(start), seen(finished)
        left: dict[Any, Path] = {}  # what the killed pulls left, without duplicates
        for directory in sorted(tmp_path.glob("prompts-*")):
            found = seen(directory)
            left[frozenset((re.sub("pull-.*[.]", "pull-.", name), data) for name, data in found.items())] = directory
            for name, data in found.items():
                assert name.startswith(".artanis-pull-") or data in (old.get(name), new.get(name))
        assert len(left) >= 10
        for directory in left.values():
            shutil.copytree(directory, f"{directory}.again")
            pull_prompts(client, directory)
            assert seen(directory) == new

        sandbox.add_version(prompts["classify"], "Newer.")
        sandbox.remove_prompt(prompts["answer"])
        pull_prompts(client, again)
        for directory in left.values():
            pull_prompts(client, f"{directory}.again")
            assert seen(Path(f"{directory}.again")) == seen(again)


LIMITED = """
import resource, signal, sys
from artanis_client import Artanis, pull_prompts

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
signal.signal(signal.SIGXFSZ, getattr(signal, sys.argv[3]))
with Artanis() as client:
    try:
        pull_prompts(client, sys.argv[1])
    except OSError as error:
        print(error)
"""


@posix
@pytest.mark.once
@pytest.mark.parametrize("action", ["SIG_DFL", "SIG_IGN"])
@pytest.mark.parametrize("most", [0, 100, 2000])
def test_no_space(server: Server, client: Artanis, pulled: Path, action: str, most: int) -> None:
    """If the disk is full, or the process is killed while it writes, every file stays complete, and the next pull
    finishes the work. The error names the file."""
    before = seen(pulled)
    serve(server, {"classify": "New.", "tone": "New.\n" * 1000})
    environment = {f"ARTANIS_{name.upper()}": value for name, value in server.credentials.items()}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(pulled), str(most), action],
        env={**unmeasured(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    found = seen(pulled)
    if action == "SIG_DFL":
        assert done.returncode == -signal.SIGXFSZ, done.stderr
    else:
        assert f"File too large: '{pulled}/{'tone.md' if most == 2000 else '.artanis-pull-'}" in done.stdout
        assert not [name for name in found if name.endswith(".tmp")]
    assert found["classify.md"] == (b"New." if most == 2000 else before["classify.md"])
    assert (found["tone.md"], found["prompts.json"]) == (before["tone.md"], before["prompts.json"])
    pull_prompts(client, pulled)
    assert set(seen(pulled)) == set(before)
    assert prompts_status(client, pulled).clean


@pytest.mark.parametrize("edited", [False, True])
def test_an_edit_after_a_failed_pull(
    server: Server, client: Artanis, pulled: Path, monkeypatch: pytest.MonkeyPatch, edited: bool
) -> None:
    """An edit still conflicts with a change that a failed pull did not write."""
    serve(server, {**TWO, "classify": "New."})
    replace = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if target.name == "classify.md":
            raise OSError(28, "No space left on device")
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match=r"No space left .*classify\.md"):
            pull_prompts(client, pulled)
    if edited:
        (pulled / "classify.md").write_bytes(b"Mine.")
        with pytest.raises(PromptConflictError):
            pull_prompts(client, pulled)
        assert seen(pulled)["classify.md"] == b"Mine."
    else:
        assert pull_prompts(client, pulled).written == ("classify.md",)
        assert prompts_status(client, pulled).clean


def history(*contents: str, active: int | None = -1) -> models.PromptHistory:
    versions = [version(f"v{position}", content) for position, content in enumerate(contents)]
    if active is not None:
        versions[active]["isActive"] = True
    return models.PromptHistory.from_dict({**PROMPT, "versions": versions})


def test_diff() -> None:
    """The default compares the previous version with the active one, and the header has labels, ids and dates."""
    assert diff_versions(history("a\n", "b\nc\n", "b\nd\n")) == (
        "--- classify v2 v1\t2026-04-02T10:00:00+00:00\n"
        "+++ classify v3 v2\t2026-04-02T10:00:00+00:00\n"
        "@@ -1,2 +1,2 @@\n"
        " b\n"
        "-c\n"
        "+d\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("previous", "active", "-a+b"),
        ("active", "previous", "-b+a"),
        (0, 2, "-a+c"),
        (-1, -3, "-c+a"),
        ("v2", 1, "-c+b"),
        ("active", "v2", "-b+c"),
        (1, "active", ""),
    ],
)
def test_which_versions(old: int | str, new: int | str, changes: str) -> None:
    """A version is chosen by its position from either end, its id, or a word."""
    lines = diff_versions(history("a\n", "b\n", "c\n", active=1), old, new).splitlines()
    assert "".join(lines[3:]) == changes


def test_labels() -> None:
    """`v1` is the oldest version, unless a version has that id; an integer counts from 0."""
    made = history("a\n", "b\n", "c\n")
    for number, each in enumerate(made.versions):
        each.id = f"id-{number}"
    assert diff_versions(made, "v1", "v3") == diff_versions(made, 0, 2) == diff_versions(made, "id-0", "id-2")
    assert diff_versions(made, "v1", "v3").startswith("--- classify v1 id-0\t")
    for wrong in ("v0", "v4", "v-1", "V1", "v01", "1"):
        with pytest.raises(ValueError, match=f"no version {wrong!r}"):
            diff_versions(made, wrong)
    made.versions[2].id = "v1"
    made.versions[1].id = "active"
    assert diff_versions(made, "v1", "active").endswith("-c\n+b\n")


@pytest.mark.parametrize(
    ("versions", "which", "problem"),
    [
        (history("a", "b"), 2, r"no version 2\. It has 2, oldest first: v0, v1\."),
        (history("a", "b"), -3, "no version -3"),
        (history("a", "b"), "v9", "no version 'v9'"),
        (history("a", "b", active=None), "active", "0 active versions"),
        (history("a", "b", active=None), "previous", "0 active versions"),
        (history("a", "b", active=0), "previous", "no version before the active one"),
        (history(active=None), 0, "no version 0"),
    ],
)
def test_no_such_version(versions: models.PromptHistory, which: int | str, problem: str) -> None:
    """If there is no such version, the ValueError lists those that exist."""
    with pytest.raises(ValueError, match=problem):
        diff_versions(versions, old=which, new=-1)


def test_no_one_version_is_active() -> None:
    """If two versions are active, a position or an id still works."""
    versions = history("a\n", "b\n", "b\n")
    versions.versions[0].is_active = True
    with pytest.raises(ValueError, match="2 active versions"):
        diff_versions(versions)
    assert diff_versions(versions, 0, "v1").endswith("-a\n+b\n")
    assert diff_versions(versions, 1, 2) == ""


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("a", "a\n", ["-a", "\\ No newline at end of file", "+a"]),
        ("a\n", "a", ["-a", "+a", "\\ No newline at end of file"]),
        ("a\nb", "c\nb", ["-a", "+c", " b", "\\ No newline at end of file"]),
        ("a\n", "a\r\n", ["-a", "+a\r"]),
        ("a\rb\u2028\n", "a\rc\u2028\n", ["-a\rb\u2028", "+a\rc\u2028"]),
        ("", "a\n", ["+a"]),
    ],
)
def test_ends_of_lines(old: str, new: str, lines: list[str]) -> None:
    r"""A missing last newline is shown as `diff` shows it; only `\n` ends a line, and a changed `\r` is a change."""
    assert diff_versions(history(old, new)).split("\n")[3:-1] == lines


def test_the_head_of_a_diff_is_two_lines() -> None:
    """The header has two lines, whatever is in the ids."""
    versions = history("a\n", "b\n")
    versions.step_id = "a\n--- b"
    assert len(diff_versions(versions).splitlines()) == 5


def patched(old: str, diff: str) -> str:
    """Apply a unified diff, by the rules of the format."""
    source = re.findall(r"[^\n]*\n|[^\n]+", old)
    made: list[str] = []
    position = 0
    lines = diff.split("\n")[2:-1]
    for number, line in enumerate(lines):
        if match := re.fullmatch(r"@@ -(\d+)(?:,(\d+))? \+\S+ @@", line):
            start = int(match[1]) - (match[2] != "0")
            made += source[position:start]
            position = start
        elif line[0] in " -+":
            is_last = lines[number + 1 : number + 2] == ["\\ No newline at end of file"]
            full = line[1:] + ("" if is_last else "\n")
            if line[0] != "+":
                assert source[position] == full
                position += 1
            made += [full] if line[0] != "-" else []
    return "".join(made + source[position:])


few_lines = st.lists(st.sampled_from(["a\n", "b\n", "\n", "a\r\n", "--- x\n", "@@ -1 +1 @@\n", "\\ No\n"]), max_size=30)


@pytest.mark.once
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(*[st.builds(lambda lines, end: "".join(lines) + end, few_lines, text.map(lambda t: t[:5]))] * 2)
def test_a_diff_tells_all(old: str, new: str) -> None:
    """Applying the diff to the old version gives the new one; the diff of equal versions is empty."""
    diff = diff_versions(history(old, new))
    assert (diff == "") == (old == new)
    assert patched(old, diff) == new


@posix
def test_modes(server: Server, client: Artanis, pulled: Path) -> None:
    """A file that is rewritten keeps its mode; a new one gets that of the umask."""
    for path in pulled.iterdir():
        path.chmod(0o664)
    serve(server, {**TWO, "classify": "New.", "more": "More."})
    umask = os.umask(0o027)
    try:
        pull_prompts(client, pulled)
    finally:
        os.umask(umask)
    modes = {path.name: path.stat().st_mode & 0o777 for path in pulled.iterdir()}
    assert modes.pop("more.md") == 0o640
    assert set(modes.values()) == {0o664}


def test_files_that_are_mounted_on_their_own(
    server: Server, client: Artanis, pulled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that cannot be renamed over are written in place, with a warning."""
    serve(server, {**TWO, "classify": "New."})
    mount(monkeypatch, "classify.md", "prompts.json")
    with pytest.warns(UserWarning, match=r"(classify\.md|prompts\.json) cannot be replaced"):
        pull_prompts(client, pulled)
    assert (pulled / "classify.md").read_text() == "New."
    assert prompts_status(client, pulled).clean
    assert not [name for name in seen(pulled) if name.startswith(".")]


@posix
def test_force_does_not_follow_a_link(server: Server, client: Artanis, pulled: Path, tmp_path: Path) -> None:
    """What a link or a pipe in a file's place leads to stays; a regular file replaces it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    for name, make in (("classify.md", lambda path: path.symlink_to(elsewhere)), ("tone.md", os.mkfifo)):
        (pulled / name).unlink()
        make(pulled / name)
    pull_prompts(client, pulled, force=True)
    assert elsewhere.read_text() == "mine"
    assert prompts_status(client, pulled).clean
    assert all(path.is_file() and not path.is_symlink() for path in pulled.iterdir())
