"""The links of the package on the package index, made from one setting."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import check_dist
from check_dist import find_relative_links
from metadata import make_links_absolute, make_urls

pytestmark = [pytest.mark.tooling, pytest.mark.once]
ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "https://example.com/someone/artanis-client"
TEXT = """\
[A page](docs/a.md#part), [`code`](openapi.yaml), [outside](https://artanis.ai), `[not](a-link)`.

![A picture](.github/report.png)

```md
[neither](this)
```
"""


def test_links_with_a_repository() -> None:
    """Relative links lead to the release, pictures to their file; code and other links stay."""
    assert (
        make_links_absolute(TEXT, REPOSITORY, "1.2.3")
        == f"""\
[A page]({REPOSITORY}/blob/v1.2.3/docs/a.md#part), [`code`]({REPOSITORY}/blob/v1.2.3/openapi.yaml), \
[outside](https://artanis.ai), `[not](a-link)`.

![A picture]({REPOSITORY}/raw/v1.2.3/.github/report.png)

```md
[neither](this)
```
"""
    )


def test_links_without_a_repository() -> None:
    """No address is invented: links become text, and pictures disappear."""
    assert (
        make_links_absolute(TEXT, "", "1.2.3")
        == """\
A page, `code`, [outside](https://artanis.ai), `[not](a-link)`.

```md
[neither](this)
```
"""
    )
    assert make_urls("", "1.2.3") == {}


def test_relative_links_are_found() -> None:
    """`make build` finds what the index could not show, and nothing else."""
    assert find_relative_links(TEXT) == [
        "[A page](docs/a.md#part)",
        "[`code`](openapi.yaml)",
        "![A picture](.github/report.png)",
    ]
    assert find_relative_links(make_links_absolute(TEXT, REPOSITORY, "1.2.3")) == []


@pytest.mark.parametrize("repository", ["", f"{REPOSITORY}/"])
def test_wheel(
    repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The wheel has the URLs and a description that the index can show, or says what is missing."""
    for name in ("README.md", "LICENSE", "openapi.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    settings = re.sub('^repository = ".*?"', f'repository = "{repository}"', settings, flags=re.MULTILINE)
    (tmp_path / "pyproject.toml").write_text(settings, encoding="utf-8")
    for name in ("scripts", "generated", "overlay"):
        (tmp_path / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", "dist", "."]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    monkeypatch.setattr(check_dist, "ROOT", tmp_path)
    assert check_dist.main() == 0
    assert ("set `repository` in pyproject.toml" in capsys.readouterr().err) == (not repository)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        found = email.message_from_bytes(archive.read(name))
    description = str(found.get_payload())
    assert "## A first call" in description
    assert find_relative_links(description) == []
    assert (f"Repository, {REPOSITORY}" in found.get_all("Project-URL", [])) == bool(repository)
    assert ("report.png" in description) == bool(repository)
