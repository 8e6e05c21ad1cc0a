"""What `make release-check` refuses. The checks that it only runs, such as the documentation, are tested elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import release_check
from release_check import Failed, Skipped

pytestmark = [pytest.mark.tooling, pytest.mark.once]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that can be released."""
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.0 - 2026-11-28\n\n## 1.1.0 - 2026-10-01\n")
    (tmp_path / "pyproject.toml").write_text('[tool.hatch.metadata.hooks.custom]\nrepository = "https://example.com"\n')
    monkeypatch.setattr(release_check, "ROOT", tmp_path)
    monkeypatch.setattr(release_check, "version", lambda: "1.2.0")
    monkeypatch.setattr(release_check, "find_last_release", lambda: "v1.1.0")
    return tmp_path


def test_all_is_well() -> None:
    """The version is later, the changelog has a date, and the repository is known."""
    assert release_check.check_version() == "1.2.0, after v1.1.0"
    assert release_check.check_changelog() == "2026-11-28"
    assert release_check.check_repository() == "https://example.com"


@pytest.mark.parametrize("last", ["v1.2.0", "v1.10.0"])
def test_old_version(last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that was released, or is earlier than the last release, is refused."""
    monkeypatch.setattr(release_check, "find_last_release", lambda: last)
    with pytest.raises(Failed, match="not later than"):
        release_check.check_version()


@pytest.mark.parametrize(
    ("title", "message"),
    [("## 1.2.0 - unreleased", "write the date"), ("## 1.2.00 - 2026-11-28", "no entry for 1.2.0")],
)
def test_changelog(title: str, message: str, project: Path) -> None:
    """An entry without a date, or for another version, is refused."""
    (project / "CHANGELOG.md").write_text(f"{title}\n")
    with pytest.raises(Failed, match=message):
        release_check.check_changelog()


def test_no_repository(project: Path) -> None:
    """Without the repository, the package would have no links."""
    (project / "pyproject.toml").write_text('[tool.hatch.metadata.hooks.custom]\nrepository = ""\n')
    with pytest.raises(Failed, match="set `repository`"):
        release_check.check_repository()


@pytest.mark.parametrize("check", [release_check.check_contract, release_check.check_api])
def test_first_release(check: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first release, there is nothing to compare with."""
    monkeypatch.setattr(release_check, "find_last_release", lambda: "")
    assert release_check.check_version() == "1.2.0, the first release"
    with pytest.raises(Skipped):
        check()


def test_licences(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every dependency of every extra is listed, and one without a known licence is named."""
    release_check.check_licences()
    listed = capsys.readouterr().out
    for name in ("attrs", "httpcore", "jinja2", "uvicorn", "aiohttp", "rpds-py"):
        assert f" {name}: " in listed
    assert " pytest: " not in listed
    monkeypatch.setattr(release_check, "FREE", re.compile("BSD"))
    with pytest.raises(Failed, match=r"look at the licence of .*attrs"):
        release_check.check_licences()
