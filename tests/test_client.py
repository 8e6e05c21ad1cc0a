"""`Artanis` and `AsyncArtanis`: resources, projects, options, closing."""

from __future__ import annotations

import logging
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import httpx
import pytest

import artanis_client
from artanis_api.api.knowledge_docs import list_knowledge_docs
from artanis_api.api.prompts import list_prompts
from artanis_client import Artanis, ArtanisError, AsyncArtanis, CredentialsError, NotFoundError, acall, call, models
from support import KEY, LIMIT, PROMPT, Answer, Both, Server, span, trace

CHECK = "Check the id or project, and that base_url points to Artanis."
OTHERS = {"project_slug": "other"}, {"project_id": "4f8c2d1e-3b5a-4c6d-8e7f-9a0b1c2d3e40"}


def test_prompts_list_returns_prompts(both: Both, server: Server) -> None:
    """A list call asks for the client's project with both headers, and unwraps the list."""
    server.answer(body={"prompts": [PROMPT]})
    prompts = both.run(lambda client: client.prompts.list())
    assert [type(prompt) for prompt in prompts] == [models.Prompt]
    assert prompts[0].output_schema == {"type": "object"}
    [request] = server.requests
    assert (request.method, request.path) == ("GET", "/api/prompts?projectSlug=my-project")
    assert (request.headers["x-api-key"], request.headers["x-org-slug"]) == (KEY, "my-org")
    assert re.fullmatch(r"artanis-client/\S+ python/3\.\S+ httpx/\d\S+", request.headers["user-agent"])


def test_prompts_get_returns_the_history(both: Both, server: Server) -> None:
    """A detail call takes the id and no project."""
    version = {"id": "v1", "content": "…", "isActive": True, "createdAt": "2026-04-01T00:00:00.000Z"}
    server.answer(body={"id": "p1", "stepId": "classify", "outputSchema": {}, "versions": [version]})
    history = both.run(lambda client: client.prompts.get("p1"))
    assert isinstance(history, models.PromptHistory)
    assert history.versions[0].is_active
    assert server.requests[0].path == "/api/prompts/p1"


def test_prompts_get_of_a_step(both: Both, server: Server) -> None:
    """A 404 says that the call takes an id, and which one takes a step; a 404 of other calls does not."""
    server.answer(404, {"error": "Not found"})
    with pytest.raises(NotFoundError) as caught:
        both.run(lambda client: client.prompts.get("classify"))
    advice = "prompts.get() takes the id of a prompt; PromptCache(client).get() takes a step."
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert str(error).endswith(f"/api/prompts/classify: 404 Not found. {CHECK} {advice}")
        assert (error.status_code, error.message) == (404, "Not found")
    with pytest.raises(NotFoundError) as caught:
        both.run(lambda client: client.traces.get("classify"))
    assert str(caught.value).endswith(CHECK)


def test_traces_get_returns_spans_and_feedback(both: Both, server: Server) -> None:
    """A trace's detail carries what the reviewer made of it, with free JSON as plain Python."""
    server.answer(body=trace(spans=[span(), span(approvedOutput=None)], feedback=[]))
    detail = both.run(lambda client: client.traces.get("t1"))
    assert isinstance(detail, models.TraceDetail)
    assert detail.spans[0].approved_output == {"label": "shipping"}
    assert detail.spans[1].approved_output is None
    assert detail.metadata.get("user_id") == "user-123"


@pytest.mark.parametrize("project", OTHERS, ids=str)
@pytest.mark.parametrize("resource", ["prompts", "traces"])
def test_project_of_the_call_replaces_the_default(
    both: Both, server: Server, resource: str, project: dict[str, str]
) -> None:
    """Naming a project in the call leaves no trace of the client's own, of either kind."""
    server.answer(body={resource: []})
    assert both.run(lambda client: getattr(client, resource).list(**project)) == []
    parameter = "projectSlug" if "project_slug" in project else "projectId"
    assert server.requests[0].path == f"/api/{resource}?{parameter}={next(iter(project.values()))}"


@pytest.mark.parametrize("resource", ["prompts", "traces"])
def test_both_kinds_of_project_are_refused(both: Both, server: Server, resource: str) -> None:
    """Two projects in one call are a ValueError, and no request."""
    with pytest.raises(ValueError, match="not both"):
        both.run(lambda client: getattr(client, resource).list(project_slug="a", project_id="b"))
    assert server.requests == []


@pytest.mark.parametrize("resource", ["prompts", "traces"])
def test_no_project_anywhere_is_refused(both: Both, server: Server, resource: str) -> None:
    """Without any project a list call is a ValueError that says where to name one, and no request."""
    with pytest.raises(ValueError, match=r"project_slug or project_id.*ARTANIS_PROJECT_SLUG"):
        both.run(lambda client: getattr(client, resource).list(), project_slug=None)
    assert server.requests == []


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "a?b", "a\nb", "a\x7f", "\x00"])
def test_what_can_be_no_id_is_refused(both: Both, server: Server, bad: str) -> None:
    """An id that would lead to another path is a ValueError before any request."""
    for resource in ("prompts", "traces"):
        with pytest.raises(ValueError, match="Invalid id"):
            both.run(lambda client: getattr(client, resource).get(bad))  # noqa: B023 - called at once
    assert server.requests == []


def test_uuids(both: Both, server: Server) -> None:
    """Ids and the id of a project may be `uuid.UUID`, in calls and for the client."""
    some = UUID("3f2b8a44-0c7e-4f0f-b6a5-9f1c2d3e4f50")
    server.answer(body={"prompts": [], "traces": []})
    assert both.run(lambda client: client.prompts.list(project_id=some)) == []
    assert both.run(lambda client: client.traces.list(), project_slug=None, project_id=some) == []
    server.answers[:] = [Answer(body={**trace(id=str(some)), "spans": [], "feedback": [], "versions": []})]
    assert both.run(lambda client: client.traces.get(some)).id == str(some)
    server.answers[:] = [Answer(404)]
    with pytest.raises(NotFoundError):
        both.run(lambda client: client.prompts.get(some))
    assert [request.path for request in server.requests] == [
        f"/api/prompts?projectId={some}",
        f"/api/traces?projectId={some}",
        f"/api/traces/{some}",
        f"/api/prompts/{some}",
    ]


@pytest.mark.parametrize("wrong", [5, b"x", ["x"], object()])
def test_ids_of_other_types(both: Both, server: Server, wrong: Any) -> None:
    """Anything but text and UUIDs is a TypeError before any request, and a slug is text."""
    for resource in ("prompts", "traces"):
        with pytest.raises(TypeError, match="An id must be a string"):
            both.run(lambda client: getattr(client, resource).get(wrong))  # noqa: B023 - called at once
        with pytest.raises(TypeError, match="project_id must be a string, not"):
            both.run(lambda client: getattr(client, resource).list(project_id=wrong))  # noqa: B023
        for slug in (wrong, UUID(int=1)):
            with pytest.raises(TypeError, match="project_slug must be a string, not"):
                both.run(lambda client: getattr(client, resource).list(project_slug=slug))  # noqa: B023
    with pytest.raises(TypeError, match="project_slug must be a string, not UUID"):
        both.run(lambda client: client, project_slug=UUID(int=1))
    assert server.requests == []


@pytest.mark.parametrize("odd", ["trace_abc", "a b", "ü", "a%2Fb", "a#b", "...", "a\\b", "a:b"])
def test_odd_ids_are_passed_on(both: Both, server: Server, odd: str) -> None:
    """Any other id reaches the server as it is, because the client does not know what ids look like."""
    from urllib.parse import unquote

    server.answer(404, {"error": "Not found"})
    with pytest.raises(NotFoundError):
        both.run(lambda client: client.traces.get(odd))
    assert unquote(server.requests[0].path.removeprefix("/api/traces/")) == odd


def test_direct_use_of_generated_functions(server: Server) -> None:
    """Every generated function works with `client.api`, through `call` and alone."""
    server.answer(body={"knowledgeDocs": [{"id": "d1"}]})
    with Artanis(**server.credentials) as client:
        documents = call(list_knowledge_docs.sync_detailed, client=client.api, project_slug="p")
        assert documents.knowledge_docs[0].id == "d1"
        assert list_knowledge_docs.sync(client=client.api, project_slug="p") == documents


def test_direct_use_of_async_generated_functions(server: Server) -> None:
    """The same with `acall`."""
    server.answer(body={"knowledgeDocs": []})

    async def main() -> None:
        async with AsyncArtanis(**server.credentials) as client:
            documents = await acall(list_knowledge_docs.asyncio_detailed, client=client.api, project_slug="p")
            assert documents.knowledge_docs == []
            assert await list_knowledge_docs.asyncio(client=client.api, project_slug="p") == documents

    anyio.run(main)


def test_mixing_sync_and_async_is_refused(server: Server) -> None:
    """A sync function on AsyncArtanis, or the reverse, would go out without headers, so it does not go out."""
    with pytest.raises(TypeError, match="Use Artanis"):
        list_prompts.sync_detailed(client=AsyncArtanis(**server.credentials).api)
    with Artanis(**server.credentials) as client, pytest.raises(TypeError, match="Use AsyncArtanis"):
        anyio.run(lambda: list_prompts.asyncio_detailed(client=client.api))


@pytest.mark.parametrize("method", ["with_headers", "with_cookies", "with_timeout"])
def test_the_generated_client_makes_no_copies(server: Server, method: str) -> None:
    """Its own `with_…` methods would change what they copy; they point to with_options instead."""
    with Artanis(**server.credentials) as client, pytest.raises(TypeError, match="with_options"):
        getattr(client.api, method)({})


def test_a_copy_made_by_other_means_sends_nothing(server: Server) -> None:
    """`attrs.evolve` on the generated client gives one that refuses to work, rather than one without headers."""
    import attrs

    with Artanis(**server.credentials) as client, pytest.raises(TypeError):
        list_prompts.sync(client=attrs.evolve(client.api))
    assert server.requests == []


def test_with_options_shares_connections(server: Server) -> None:
    """A view has its own options, shares the connections of the client, and leaves the client unchanged."""
    server.answer(body={"prompts": []})
    with Artanis(**server.credentials) as client:
        client.prompts.list()
        with client.with_options(timeout=90, max_retries=0) as view:
            view.prompts.list()
            assert view._http.max_retries == 0
            assert view._http.timeout.read == 90
        client.prompts.list()
        assert client._http.max_retries == 2
        assert client._http.timeout.read == 60
    assert len({request.connection for request in server.requests}) == 1
    with pytest.raises(ArtanisError, match="closed"):
        view.prompts.list()


def test_with_options_keeps_what_is_not_given(server: Server) -> None:
    """A view of a view adds to its options; timeout=None means no timeout."""
    with Artanis(**server.credentials) as client:
        view = client.with_options(max_retries=5).with_options(timeout=None)
        assert view._http.max_retries == 5
        assert view._http.timeout.read is None


def test_use_after_close_is_an_artanis_error(both: Both, server: Server) -> None:
    """A closed client says so, and closing twice does nothing."""

    def close_and_use(client: Any) -> Any:
        if isinstance(client, Artanis):
            client.close()
            client.close()
            return client.prompts.list()

        async def main() -> Any:
            await client.aclose()
            await client.close()  # the same
            return await client.prompts.list()

        return main()

    with pytest.raises(ArtanisError, match="closed"):
        both.run(close_and_use)
    assert server.requests == []


def test_nothing_is_printed_without_logging() -> None:
    """The logger has a handler that does nothing, as libraries do, so that Python's last resort prints nothing."""
    code = "import logging, artanis_client; logging.getLogger('artanis_client').error('x'); logging.error('y')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=True)
    assert (result.stdout, result.stderr) == ("", "ERROR:root:y\n")
    assert [type(handler) for handler in logging.getLogger("artanis_client").handlers] == [logging.NullHandler]


def test_closing_an_unused_client(both: Both) -> None:
    """A client that was never used closes like any other."""
    both.run(lambda client: None)


def test_repr_says_what_and_never_the_key(server: Server) -> None:
    """The repr shows organization, project and host, and where the key came from."""
    client = Artanis(**server.credentials)
    shown = repr(client) + repr(client.api) + repr(vars(client))
    assert "my-org" in shown
    assert "my-project" in shown
    assert "the argument api_key" in shown
    assert KEY not in shown
    assert client.scope == {"base_url": server.url, "org_slug": "my-org", "project_slug": "my-project"}
    client.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"timeout": -1}, "timeout must be more than 0"),
        ({"timeout": float("nan")}, "timeout must be more than 0"),
        ({"timeout": "5"}, "timeout must be a number of seconds"),
        ({"timeout": True}, "timeout must be a number of seconds"),
        ({"timeout": float("inf")}, "timeout must be at most 1e"),
        ({"timeout": 10**400}, "timeout must be at most 1e"),
        ({"max_retries": -1}, "max_retries must be an integer of at least 0"),
        ({"max_retries": 1.5}, "max_retries must be an integer of at least 0"),
        ({"max_connections": 0}, "max_connections must be an integer of at least 1"),
        ({"max_connections": None}, "max_connections must be an integer of at least 1"),
        ({"api_key": 5}, "api_key must be a string or a function"),
        ({"org_slug": 5}, "org_slug must be a string, not int"),
        ({"project_id": b"x"}, "project_id must be a string, not bytes"),
        ({"profile": Path("x")}, "profile must be a string"),
        ({"httpx_args": {"timeout": 5}}, "httpx_args cannot contain 'timeout'"),
        ({"httpx_args": {"base_url": "x"}}, "httpx_args cannot contain 'base_url'"),
        ({"httpx_args": {"auth": ("a", "b")}}, "httpx_args cannot contain 'auth'"),
        ({"httpx_args": {"follow_redirects": True}}, "httpx_args cannot contain 'follow_redirects'"),
        ({"httpx_args": {"cookies": {}}}, "httpx_args cannot contain 'cookies'"),
        ({"httpx_args": {"proxies": {}}}, "unexpected keyword argument 'proxies'"),
    ],
    ids=str,
)
@pytest.mark.parametrize("cls", [Artanis, AsyncArtanis])
def test_wrong_arguments(
    server: Server, cls: Any, arguments: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong argument is a TypeError or ValueError that names it, whatever the environment says of proxies."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com")
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        cls(**{**server.credentials, **arguments})


def test_an_async_key_function_needs_the_async_client(server: Server) -> None:
    """`Artanis` could not await it."""

    async def key() -> str:
        return KEY

    with pytest.raises(TypeError, match="AsyncArtanis"):
        Artanis(**{**server.credentials, "api_key": key})


def test_version() -> None:
    """The version is the one of the installed distribution."""
    from importlib.metadata import version

    assert artanis_client.__version__ == version("artanis-client")


@pytest.mark.parametrize("bad", [None, 5, b"x", Path("x")])
def test_ids_are_text(both: Both, server: Server, bad: Any) -> None:
    """Anything else than text is a TypeError, instead of a request for `/api/traces/None`."""
    for resource in ("prompts", "traces"):
        with pytest.raises(TypeError, match="An id must be a string"):
            both.run(lambda client: getattr(client, resource).get(bad))  # noqa: B023 - called at once
    assert server.requests == []


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("HTTPS_PROXY", "ftp://proxy.example.com", r"The proxy from the environment \(HTTPS_PROXY\) cannot be used"),
        ("HTTPS_PROXY", "socks5://proxy.example.com", "cannot be set up: .*socksio"),
        ("SSL_CERT_FILE", "/no/such/file", "TLS cannot be set up: .*SSL_CERT_FILE=/no/such/file"),
        ("SSLKEYLOGFILE", "/no/such/folder/file", "TLS cannot be set up: .*SSLKEYLOGFILE=/no/such/folder/file"),
    ],
)
@pytest.mark.parametrize("cls", [Artanis, AsyncArtanis])
def test_a_broken_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch, cls: Any, variable: str, value: str, message: str
) -> None:
    """What keeps httpx from being set up is a CredentialsError that names the variable or the missing package."""
    if variable == "SSLKEYLOGFILE" and httpx.__name__ == "httpx2":
        pytest.skip("httpx2 leaves this variable to Python")
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com")
    monkeypatch.setenv(variable, value)
    with pytest.raises(CredentialsError, match=message):
        cls(**{**server.credentials, "base_url": "https://artanis.invalid"})


def test_a_project_that_the_selected_profile_lacks(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice names the place where a project would count: a selected profile is used alone."""
    path = tmp_path / "mine.toml"
    path.write_text(f'[staging]\norg_slug = "o"\napi_key_command = ["echo", "k"]\nbase_url = "{server.url}"')
    monkeypatch.setenv("ARTANIS_CONFIG_FILE", str(path))
    monkeypatch.setenv("ARTANIS_PROJECT_SLUG", "p")
    with (
        Artanis(profile="staging") as client,
        pytest.raises(ValueError, match=f"add project_slug to profile 'staging' of {path}"),
    ):
        client.prompts.list()
