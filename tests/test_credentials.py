"""Where key, organization, host and project come from, and what is refused."""

from __future__ import annotations

import os
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from artanis_client import Artanis, AsyncArtanis, AuthenticationError, CredentialsError, _credentials
from support import LIMIT, Answer, Both, Request, Server, everything_shown

Write = Callable[..., Path]
posix = pytest.mark.skipif(sys.platform == "win32", reason="homes, pipes and shells are another matter there")
SECONDS_FOR_A_COMMAND = _credentials.COMMAND_TIMEOUT


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, a command may take longer than users are made to wait."""
    monkeypatch.setattr(_credentials, "COMMAND_TIMEOUT", LIMIT)


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Write:
    """Writes the configuration file, as its owner's alone."""
    path = tmp_path / "config" / "artanis" / "config.toml"

    def write(text: str, mode: int = 0o600) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    return write


def used(server: Server) -> tuple[str, str, str]:
    """Key, organization and path of the last request."""
    request = server.requests[-1]
    return request.headers["x-api-key"], request.headers["x-org-slug"], request.path


def list_prompts(server: Server, **arguments: Any) -> tuple[str, str, str]:
    server.answer(body={"prompts": []})
    with Artanis(**arguments) as client:
        client.prompts.list()
    return used(server)


def test_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """All four variables are read, and stripped of surrounding whitespace."""
    monkeypatch.setenv("ARTANIS_API_KEY", " env-key\n")
    monkeypatch.setenv("ARTANIS_ORG_SLUG", "env-org ")
    monkeypatch.setenv("ARTANIS_BASE_URL", f" {server.url}/ ")
    monkeypatch.setenv("ARTANIS_PROJECT_SLUG", "env-project")
    assert list_prompts(server) == ("env-key", "env-org", "/api/prompts?projectSlug=env-project")


def test_the_default_profile(server: Server, config: Write) -> None:
    """Without variables, the profile `default` of the configuration file is used, with either kind of project."""
    config(f'[default]\napi_key = "file-key"\norg_slug = "file-org"\nproject_id = "p1"\nbase_url = "{server.url}"')
    assert list_prompts(server) == ("file-key", "file-org", "/api/prompts?projectId=p1")


def test_the_environment_wins_field_by_field(server: Server, config: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable replaces the profile's field and leaves the others; an empty one counts as missing."""
    config(f'[default]\napi_key = "file-key"\norg_slug = "file-org"\nproject_id = "p1"\nbase_url = "{server.url}"')
    monkeypatch.setenv("ARTANIS_API_KEY", "env-key")
    monkeypatch.setenv("ARTANIS_ORG_SLUG", "  ")
    monkeypatch.setenv("ARTANIS_PROJECT_SLUG", "env-project")
    assert list_prompts(server) == ("env-key", "file-org", "/api/prompts?projectSlug=env-project")


def test_arguments_win(server: Server, config: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument replaces both; an empty one counts as missing."""
    config('[default]\napi_key_command = ["false"]\norg_slug = "file-org"\nproject_id = "p1"')
    monkeypatch.setenv("ARTANIS_BASE_URL", server.url)
    used = list_prompts(server, api_key="argument-key", project_slug="argument-project", org_slug="")
    assert used == ("argument-key", "file-org", "/api/prompts?projectSlug=argument-project")


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_a_selected_profile_is_used_alone(
    server: Server, config: Write, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """With a selected profile nothing comes from the environment or from `default`."""
    config(
        '[default]\nproject_id = "p1"\n'
        f'[staging]\napi_key = "staging-key"\norg_slug = "staging-org"\nbase_url = "{server.url}"\nproject_slug = "s"'
    )
    for name in ("API_KEY", "ORG_SLUG", "PROJECT_SLUG"):
        monkeypatch.setenv(f"ARTANIS_{name}", "production")
    monkeypatch.setenv("ARTANIS_BASE_URL", "https://production.example.com")
    if by == "variable":
        monkeypatch.setenv("ARTANIS_PROFILE", "staging")
    arguments = {"profile": "staging"} if by == "argument" else {}
    assert list_prompts(server, **arguments) == ("staging-key", "staging-org", "/api/prompts?projectSlug=s")


def test_what_a_selected_profile_lacks(config: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A production key in the environment does not fill a gap in the staging profile."""
    path = config('[staging]\norg_slug = "staging-org"')
    monkeypatch.setenv("ARTANIS_API_KEY", "production-key")
    with pytest.raises(CredentialsError, match=r"The api_key is missing.*a selected profile is not combined") as caught:
        Artanis(profile="staging")
    assert "'staging'" in str(caught.value)
    assert str(path) in str(caught.value)


def test_arguments_fill_a_selected_profile(server: Server, config: Write) -> None:
    """An argument still wins over the selected profile."""
    config(f'[staging]\norg_slug = "staging-org"\nbase_url = "{server.url}"\nproject_slug = "s"')
    assert list_prompts(server, profile="staging", api_key="argument-key")[0] == "argument-key"


def test_config_file_variable(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ARTANIS_CONFIG_FILE names another file, which must exist."""
    path = tmp_path / "mine.toml"
    monkeypatch.setenv("ARTANIS_CONFIG_FILE", str(path))
    with pytest.raises(CredentialsError, match=r"mine\.toml does not exist"):
        Artanis(api_key="k", org_slug="o")
    path.write_text(f'[default]\napi_key_command = ["echo", "k"]\norg_slug = "o"\nbase_url = "{server.url}"')
    assert list_prompts(server, project_slug="p")[0] == "k"


@pytest.mark.parametrize("missing", ["api_key", "org_slug"])
def test_what_is_missing_says_the_three_ways(missing: str) -> None:
    """The error names the variable, the argument and the file."""
    given = {"api_key": "k", "org_slug": "o"}
    del given[missing]
    with pytest.raises(CredentialsError) as caught:
        Artanis(**given)  # type: ignore[arg-type]
    assert f"Set ARTANIS_{missing.upper()}, pass {missing}=…" in str(caught.value)
    assert "config.toml" in str(caught.value)


def test_the_default_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a base URL it is Artanis's own."""
    assert "base_url='https://app.artanis.ai'" in repr(Artanis(api_key="k", org_slug="o"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[default\napi_key = 5", "is not valid TOML: .*line 1"),
        ('[default]\napi_key = "SECRET', "is not valid TOML"),
        ("[default]\napi_key = SECRET", "is not valid TOML"),
        ('default = "SECRET"', "has 'default' outside a profile. Write \\[default\\]"),
        ('api_key = "SECRET"\norg_slug = "o"', "has 'api_key' outside a profile. Write \\[default\\]"),
        ('[default]\napikey = "SECRET"', "unknown field 'apikey' .known fields: .*api_key_command"),
        ("[default]\napi_key = 5", "api_key must be a string"),
        ("[default]\norg_slug = true", "org_slug must be a string"),
        ('[default]\napi_key_command = "pass show SECRET"', "api_key_command must be a list of words"),
        ("[default]\napi_key_command = []", "api_key_command must be a list of words"),
        ('[default]\napi_key_command = ["pass", 1]', "api_key_command must be a list of words"),
        ('[default]\napi_key = "SECRET"\napi_key_command = ["x"]', "both set; keep one"),
        ('[default]\norg_slug = "o"\napi_key = "SEC RET"', "contains whitespace or a control character"),
        ('[default]\norg_slug = "o"\napi_key = "SECRÉT"', "contains a character that is not ASCII"),
        pytest.param(
            f'[default]\norg_slug = "o"\napi_key = "{"SECRET" * 100_000}"',
            "is longer than 8192 characters",
            id="too long",
        ),
        ('[default]\norg_slug = "o"\napi_key = "SECRET\\u0000"', "contains whitespace or a control character"),
        ('[default]\napi_key = "k"\norg_slug = "my org"', "org_slug .* contains whitespace"),
        ('[default]\napi_key = "k"\norg_slug = "o"\nproject_slug = "my\\nproject"', "project .* contains whitespace"),
    ],
)
def test_what_is_wrong_in_the_file(config: Write, text: str, message: str) -> None:
    """A half-written file is an error with file, profile and field, and never the value."""
    path = config(text)
    with pytest.raises(CredentialsError, match=message) as caught:
        Artanis()
    assert str(path) in str(caught.value)
    assert "SEC" not in everything_shown(caught.value)


def test_both_kinds_of_project_in_a_profile(config: Write) -> None:
    """Two projects in one profile are an error that names it."""
    config('[default]\napi_key = "k"\norg_slug = "o"\nproject_slug = "a"\nproject_id = "b"')
    with pytest.raises(CredentialsError, match=r"profile 'default': .*both set; keep one"):
        Artanis()


def test_both_kinds_of_project_as_arguments() -> None:
    """So they are as arguments."""
    with pytest.raises(ValueError, match="not both"):
        Artanis(api_key="k", org_slug="o", project_slug="a", project_id="b")


def test_an_unknown_profile(config: Write) -> None:
    """A profile that is not there is an error that lists those that are."""
    config('[staging]\napi_key = "k"\n[other]\napi_key = "k"')
    with pytest.raises(CredentialsError, match=r"no profile 'stagign'.*staging, other"):
        Artanis(profile="stagign")


def test_a_selected_profile_without_a_file() -> None:
    """Selecting a profile makes the file a must."""
    with pytest.raises(CredentialsError, match="does not exist"):
        Artanis(profile="staging", api_key="k", org_slug="o")


@pytest.mark.skipif(sys.platform == "win32", reason="file modes are POSIX's")
def test_a_file_that_everyone_may_read(config: Write) -> None:
    """A file with a key in it that others may read is a warning that says what to do; one without is none."""
    path = config('[default]\napi_key = "k"\norg_slug = "o"', mode=0o644)
    with pytest.warns(UserWarning, match=f"chmod 600 {path}") as warned:
        Artanis()
    assert warned[0].filename == __file__
    config('[default]\napi_key_command = ["echo"]\norg_slug = "o"', mode=0o644)
    Artanis()


def test_files_that_cannot_be_read(config: Write) -> None:
    """A folder in the file's place, or bytes that are no text, are errors of ours."""
    path = config("")
    path.write_bytes(b'[default]\napi_key = "\xff\xfe"')
    with pytest.raises(CredentialsError, match="is not UTF-8 text"):
        Artanis()
    path.unlink()
    path.mkdir()
    with pytest.raises(CredentialsError, match="cannot be read"):
        Artanis()


def python(code: str) -> str:
    return f"api_key_command = ['{sys.executable}', '-c', '''{code}''']"


def test_a_command(both: Both, server: Server, config: Write) -> None:
    """The first line that the command prints is the key; it gets no standard input."""
    config("[default]\n" + python('import sys; print(sys.stdin.read() + " the-key \\nmore")'))
    server.answer(body={"prompts": []})
    both.run(lambda client: client.prompts.list(), api_key=None)
    assert used(server)[0] == "the-key"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (python('print("SECRET"); raise SystemExit(3)'), "exited with status 3"),
        (python("pass"), "printed nothing on its first line"),
        (python('print(); print("SECRET")'), "printed nothing on its first line"),
        (python('print("SEC RET")'), "contains whitespace"),
        ('api_key_command = ["no-such-program-anywhere"]', "could not be started"),
        ('api_key_command = ["no\\u0000program"]', "could not be started"),
    ],
)
def test_a_command_that_fails(both: Both, server: Server, config: Write, command: str, message: str) -> None:
    """A failing command is an error that says how it failed, never what it printed; no request is sent."""
    config("[default]\n" + command)
    with pytest.raises(CredentialsError, match=message) as caught:
        both.run(lambda client: client.prompts.list(), api_key=None)
    assert "SEC" not in str(caught.value)
    assert "profile 'default'" in str(caught.value)
    assert server.requests == []


def test_a_command_that_hangs(server: Server, config: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command has ten seconds."""
    assert SECONDS_FOR_A_COMMAND == 10
    monkeypatch.setattr(_credentials, "COMMAND_TIMEOUT", 0.05)
    config("[default]\n" + python("import time; time.sleep(600)"))
    with pytest.raises(CredentialsError, match=r"took longer than 0\.05 seconds"):
        Both("sync", server).run(lambda client: client.prompts.list(), api_key=None)


def test_a_function(both: Both, server: Server) -> None:
    """A function is asked at the first request, once."""
    asked: list[str] = []

    def key() -> str:
        asked.append("x")
        return "function-key"

    server.answer(body={"prompts": []})

    async def twice(client: Any) -> None:
        await client.prompts.list()
        await client.prompts.list()

    both.run(twice if both.is_async else lambda client: [client.prompts.list(), client.prompts.list()], api_key=key)
    assert [request.headers["x-api-key"] for request in server.requests] == ["function-key"] * 2
    assert len(asked) == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_async_function(server: Server, backend: str) -> None:
    """`AsyncArtanis` awaits an async function, and a sync one that returns an awaitable."""

    async def key() -> str:
        return "async-key"

    server.answer(body={"prompts": []})
    for function in (key, lambda: key()):
        Both(backend, server).run(lambda client: client.prompts.list(), api_key=function)
        assert used(server)[0] == "async-key"


@pytest.mark.parametrize("answer", [None, 5, b"bytes", "", "a b"])
def test_a_function_that_returns_no_key(both: Both, server: Server, answer: Any) -> None:
    """A function that does not return a key is a CredentialsError, and no request."""
    with pytest.raises(CredentialsError, match="api_key from the argument api_key"):
        both.run(lambda client: client.prompts.list(), api_key=lambda: answer)
    assert server.requests == []


def test_a_function_that_raises(both: Both, server: Server) -> None:
    """The user's own exception comes out as it is."""

    def key() -> str:
        raise LookupError("vault is sealed")

    with pytest.raises(LookupError, match="vault is sealed"):
        both.run(lambda client: client.prompts.list(), api_key=key)
    assert server.requests == []


@pytest.mark.parametrize("bad", ["a b", "a\nb", "a\x00", "schlüssel", "\u200bkey"])
def test_a_key_that_can_be_no_header(bad: str) -> None:
    """A malformed key is refused without being shown, in the traceback's local variables either."""
    with pytest.raises(CredentialsError, match="from the argument api_key contains") as caught:
        Artanis(api_key=bad, org_slug="o")
    assert bad not in everything_shown(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("app.artanis.ai", "not an http"),
        ("ftp://app.artanis.ai", "not an http"),
        ("https://", "not an http"),
        ("https://[::1", "not an http"),
        ("https://host:99999", "not an http"),
        ("https://user:password@host", "user name or password"),
        ("https://@host", "user name or password"),
        ("https://host?x=1", "query or a fragment"),
        ("https://host/#", "query or a fragment"),
        ("https://host/a/../b", "segment"),
        ("https://ho st", "whitespace"),
        ("http://app.artanis.ai", "unencrypted.*allow_http=True"),
        ("http://192.168.1.5", "unencrypted"),
        ("http://localhost.example.com", "unencrypted"),
    ],
)
def test_base_urls_that_are_refused(url: str, message: str) -> None:
    """A base URL that would not work, or would give the key away, is refused without showing a password."""
    for cls in (Artanis, AsyncArtanis):
        with pytest.raises(CredentialsError, match=f"base_url from the argument base_url .*{message}") as caught:
            cls(api_key="k", org_slug="o", base_url=url)
        assert "password@" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost", "http://127.0.0.1:80", "http://127.1.2.3", "http://[::1]:8080"])
def test_loopback_may_be_plain(url: str) -> None:
    """This machine needs no TLS."""
    Artanis(api_key="k", org_slug="o", base_url=url)


def test_allow_http() -> None:
    """Whoever says so may send the key unencrypted."""
    Artanis(api_key="k", org_slug="o", base_url="http://artanis.internal", allow_http=True)


def test_a_base_url_with_a_path(server: Server) -> None:
    """A deployment below a path is asked there."""
    path = list_prompts(server, **{**server.credentials, "base_url": server.url + "/artanis/"})[2]
    assert path.startswith("/artanis/api/prompts?")


def test_a_401_names_the_source_of_the_key(server: Server, config: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the error knows which key to replace."""
    server.answer(401, {"error": "Not authenticated"})
    sources: dict[str, dict[str, Any]] = {"the argument api_key": {}}
    config('[default]\napi_key = "file-key"')
    sources["profile 'default' of "] = {"api_key": None}
    for source, arguments in sources.items():
        with pytest.raises(AuthenticationError, match=f"key came from {source}"):
            Both("sync", server).run(lambda client: client.prompts.list(), **arguments)
    monkeypatch.setenv("ARTANIS_API_KEY", "env-key")
    with pytest.raises(AuthenticationError, match="key came from ARTANIS_API_KEY"):
        Both("sync", server).run(lambda client: client.prompts.list(), api_key=None)


def test_a_401_names_the_source_of_the_host(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key may be right, but for another host; the default host goes without saying."""
    server.answer(401, {"error": "Not authenticated"})
    with pytest.raises(AuthenticationError, match=f"sent to {server.url}, which came from the argument base_url"):
        Both("sync", server).run(lambda client: client.prompts.list())
    monkeypatch.setenv("ARTANIS_BASE_URL", server.url)
    with pytest.raises(AuthenticationError, match=f"sent to {server.url}, which came from ARTANIS_BASE_URL"):
        Both("sync", server).run(lambda client: client.prompts.list(), base_url=None)
    monkeypatch.delenv("ARTANIS_BASE_URL")
    transport = httpx.MockTransport(lambda _: httpx.Response(401))
    with pytest.raises(AuthenticationError) as caught:
        Both("sync", server).run(
            lambda client: client.prompts.list(), base_url=None, httpx_args={"transport": transport}
        )
    assert str(caught.value).endswith("has not been revoked.")


def test_a_command_that_fails_after_a_401(server: Server, config: Write, tmp_path: Path) -> None:
    """When the command cannot be run again, the 401 is raised, and says why."""
    command = tmp_path / "key"
    command.write_text("#!/bin/sh\necho key-1\n")
    command.chmod(0o700)
    config(f'[default]\napi_key_command = ["{command}"]')

    def refuse(_: Request) -> Answer:
        command.unlink(missing_ok=True)
        return Answer(401, {"error": "expired"})

    server.answers = [refuse]
    with pytest.raises(AuthenticationError, match="401 expired") as caught:
        Both("sync", server).run(lambda client: client.prompts.list(), api_key=None)
    assert "could not be started (No such file or directory)" in caught.value.__notes__[0]
    assert "could not be started" in pickle.loads(pickle.dumps(caught.value)).__notes__[0]
    assert "key-1" not in everything_shown(caught.value)


@pytest.mark.parametrize(
    ("later", "outcome"),
    [
        ('[default]\norg_slug = "o"', "no longer has an API key"),
        ("", "has no profile|no longer has an API key"),
        ('[default]\napi_key = ""', "no longer has an API key"),
        ('[default]\napi_key_command = ["echo", "key-2"]', None),
    ],
)
def test_a_file_that_changed_when_it_is_read_again(
    server: Server, config: Write, later: str, outcome: str | None
) -> None:
    """A key that was taken out of the file is still a 401, which says so; a command in its place is used."""
    config('[default]\napi_key = "key-1"')

    def answer(request: Request) -> Answer:
        config(later)
        return Answer(200 if request.headers["x-api-key"] == "key-2" else 401, {"prompts": [], "error": "x"})

    server.answers.append(answer)
    both = Both("sync", server)
    if outcome is None:
        assert both.run(lambda client: client.prompts.list(), api_key=None) == []
    else:
        with pytest.raises(AuthenticationError) as caught:
            both.run(lambda client: client.prompts.list(), api_key=None)
        [note] = caught.value.__notes__
        assert re.search(f"A new key could not be fetched: .*({outcome})", note)


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no home, and no configuration is needed, none is missed."""
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.delenv("XDG_CONFIG_HOME")
    Artanis(api_key="k", org_slug="o")


def test_a_default_file_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A default path that leads through a file is no configuration."""
    (tmp_path / "config").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    Artanis(api_key="k", org_slug="o")


def test_a_relative_path(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative ARTANIS_CONFIG_FILE is the same file after the program has changed its folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARTANIS_CONFIG_FILE", "mine.toml")
    Path("mine.toml").write_text('[default]\napi_key = "key-1"')
    Path("mine.toml").chmod(0o600)
    server.answer(401, {"error": "x"})
    with Artanis(**{**server.credentials, "api_key": None}) as client:
        monkeypatch.chdir("/")
        with pytest.raises(AuthenticationError):
            client.prompts.list()


@pytest.mark.parametrize("key", [b"SECRET-of-no-value", ["SECRET-of-no-value"], {"key": "SECRET-of-no-value"}])
def test_a_key_of_the_wrong_type_is_not_shown(server: Server, key: Any) -> None:
    """The likeliest slips, bytes or the whole answer of a vault, are refused without being shown."""
    with pytest.raises(TypeError) as refused:
        Artanis(**{**server.credentials, "api_key": key})
    assert "SECRET" not in everything_shown(refused.value)
    with (
        Artanis(**{**server.credentials, "api_key": lambda: key}) as client,
        pytest.raises(CredentialsError) as caught,
    ):
        client.prompts.list()
    assert "SECRET" not in everything_shown(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        'api_key = "SECRET"',
        '[[prod]]\napi_key = "SECRET"',
        '[default.prod]\napi_key = "SECRET"',
        '[default]\napikey = "SECRET"',
        '[default]\napi_key = ["SECRET"]',
        '[default]\napi_key = "SECRET"\na = ' + "[" * 5000,
        '[default]\napi_key = "SECRET"\na = ' + "9" * 5000,
        "[prod]\napi_key_command = ['no-such-program', 'SECRET']",
    ],
    ids=lambda text: text[:40],
)
def test_what_the_file_holds_is_not_shown(server: Server, config: Write, text: str) -> None:
    """Wherever the key stands in the file by mistake, an error about the file does not show it."""
    config(text)
    with pytest.raises(CredentialsError) as caught:
        list_prompts(server, profile="prod", base_url=server.url, org_slug="o", project_slug="p")
    assert "SECRET" not in everything_shown(caught.value)


def test_files_and_commands_of_windows(server: Server, config: Write) -> None:
    """A byte order mark and CR LF are no part of the key."""
    path = config("")
    path.write_bytes('\ufeff[default]\r\napi_key = "the-key"\r\n'.encode())
    assert list_prompts(server, **{**server.credentials, "api_key": None})[0] == "the-key"
    code = 'import sys; sys.stdout.buffer.write(b"\\xef\\xbb\\xbfthe\\x0ckey\\r\\nmore")'
    config("[default]\n" + python(code))
    with pytest.raises(CredentialsError, match="control character"):  # not cut at what only str.splitlines cuts at
        list_prompts(server, **{**server.credentials, "api_key": None})


@pytest.mark.parametrize(
    "url",
    [
        *("https://a..b", "https://.foo.com", f"https://{'a' * 64}.com", "https://foo^bar.com", "https://1.2.3.999"),
        *("https://[v1.x]", "https://host/" + "x" * 70_000),
        *(["https://xn--a.com"] if httpx.__name__ == "httpx" else []),  # httpx2 leaves it to the resolver
    ],
    ids=lambda url: url[:30],
)
def test_base_urls_that_are_none(url: str) -> None:
    """What no request could go to is refused at once, as a CredentialsError."""
    with pytest.raises(CredentialsError, match="base_url"):
        Artanis(api_key="k", org_slug="o", base_url=url)


def test_the_warning_is_about_the_key_that_is_used(config: Write) -> None:
    """Nobody is warned about a key in a file that is not used."""
    config('[default]\napi_key = "k"', mode=0o644)
    Artanis(api_key="other", org_slug="o")


def test_everything_missing_is_reported_at_once(config: Write) -> None:
    """An error lists all settings that are missing, each with every way to supply it, as data and as text."""
    path = config("")
    with pytest.raises(CredentialsError) as caught:
        Artanis()
    key, org = caught.value.problems
    assert (key.field, key.source, org.field, org.source) == ("api_key", "", "org_slug", "")
    for problem, variable in ((key, "ARTANIS_API_KEY"), (org, "ARTANIS_ORG_SLUG")):
        assert all(text in problem.advice for text in (variable, f"{problem.field}=", "[default]", str(path)))
        assert str(problem) in str(caught.value)


def test_everything_malformed_is_reported_at_once() -> None:
    """Each problem names its field and the source of its value, never the value."""
    with pytest.raises(CredentialsError) as caught:
        Artanis(api_key="a b", org_slug="my org", base_url="https://host//api")
    assert [problem.field for problem in caught.value.problems] == ["api_key", "org_slug", "base_url"]
    assert {problem.source for problem in caught.value.problems} == {
        f"the argument {name}" for name in ("api_key", "org_slug", "base_url")
    }
    assert "empty, . or .. segment" in caught.value.problems[2].reason
    assert "my org" not in str(caught.value)


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user without a home, in a directory that contains a configuration file below `~`."""
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    monkeypatch.chdir(tmp_path)
    for folder in ("~/.config", ".config", "relative", "~nobody-of-that-name"):
        path = tmp_path / folder / "artanis" / "config.toml"
        path.parent.mkdir(parents=True)
        path.write_text('[default]\norg_slug = "trap"\napi_key_command = ["touch", "pwned"]', encoding="utf-8")
    return tmp_path


@posix
@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"XDG_CONFIG_HOME": "relative"},
        {"XDG_CONFIG_HOME": "~/.config"},
        {"XDG_CONFIG_HOME": "./relative"},
        {"HOME": "."},
        {"HOME": "~"},
    ],
    ids=str,
)
def test_no_default_file_in_the_working_directory(
    homeless: Path, server: Server, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    """Without an absolute default location, there is no file; selecting a profile says what to set."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CredentialsError, match="org_slug is missing"):
        Artanis(api_key="k")
    with pytest.raises(CredentialsError, match=r"unknown home directory\. Set HOME, or ARTANIS_CONFIG_FILE"):
        Artanis(profile="default")
    assert list_prompts(server, **server.credentials)[0] == server.credentials["api_key"]
    assert not (homeless / "pwned").exists()


@posix
@pytest.mark.parametrize("path", ["~/.config/artanis/config.toml", "~nobody-of-that-name/artanis/config.toml"])
def test_a_path_in_no_home(homeless: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A path of ARTANIS_CONFIG_FILE whose `~` cannot be expanded is refused."""
    monkeypatch.setenv("ARTANIS_CONFIG_FILE", path)
    with pytest.raises(CredentialsError, match=f"{path} is in an unknown home directory. Set HOME"):
        Artanis(api_key="k", org_slug="o")
    monkeypatch.setenv("ARTANIS_CONFIG_FILE", f"./{path}")
    Artanis(api_key="k")
    assert not (homeless / "pwned").exists()


def test_a_relative_default_is_ignored(
    config: Write, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative XDG_CONFIG_HOME counts as not set: the file in the home directory is used."""
    path = config('[default]\napi_key = "the-key"')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", "config")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(CredentialsError, match="api_key is missing"):
        list_prompts(server, **{**server.credentials, "api_key": None})
    (tmp_path / "home" / ".config").mkdir(parents=True)
    path.parent.rename(tmp_path / "home" / ".config" / "artanis")
    assert list_prompts(server, **{**server.credentials, "api_key": None})[0] == "the-key"


@posix
@pytest.mark.parametrize("output", ["echo the-key", "printf the-key", "echo the-key; seq 100000", "echo the-key >&1"])
def test_a_command_that_leaves_a_daemon(server: Server, config: Write, tmp_path: Path, output: str) -> None:
    """The key is taken when the command ends, even if a process that it started keeps its output open."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    config(f'[default]\napi_key_command = ["sh", "-c", "{output}; (read line <{fifo}; echo late) &"]')
    try:
        assert list_prompts(server, **{**server.credentials, "api_key": None})[0] == "the-key"
    finally:
        fifo.open("w").close()  # ends the daemon, which is still there


def test_a_warning_about_a_file_comes_once(config: Write) -> None:
    """A file whose mode cannot be changed is reported once, not by each client."""
    config('[default]\napi_key = "k"\norg_slug = "o"', mode=0o644)
    with pytest.warns(UserWarning, match="chmod 600"):
        Artanis()
    for cls in (Artanis, AsyncArtanis):
        cls()  # pytest would make another warning an error
