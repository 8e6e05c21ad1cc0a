"""The prompt caches: what they serve, when they refresh, and what they do while the API is down."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import math
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, get_type_hints

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from artanis_client import (
    APIConnectionError,
    Artanis,
    ArtanisError,
    AsyncArtanis,
    AsyncPromptCache,
    AuthenticationError,
    CredentialsError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    PromptCache,
    _clock,
    models,
)
from artanis_client.prompts import _cache
from artanis_client.prompts._snapshot import compute_checksum
from artanis_client.sandbox import Sandbox
from support import KEY, LIMIT, PROMPT, Answer, Both, Request, Server, mount, unmeasured, until, wait_until

DOWN = Answer(503, {"error": "down"})
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
after_fork = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def answer(**contents: str) -> Answer:
    """Return a response that lists a prompt with each text, by step."""
    rows = [{**PROMPT, "id": f"id-of-{step}", "stepId": step, "content": text} for step, text in contents.items()]
    return Answer(body={"prompts": rows})


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_clock, "monotonic", clock)
    return clock


class Cache:
    """Either cache, for a synchronous test: the async one runs in an event loop in another thread."""

    def __init__(self, kind: str, credentials: Any, **options: Any) -> None:
        of_client = {name: options.pop(name) for name in ("api_key", "timeout", "org_slug") if name in options}
        arguments = {"max_retries": 0, **credentials, **of_client}
        self._stack = ExitStack()
        if kind == "sync":
            self.client: Any = self._stack.enter_context(Artanis(**arguments))
            self.real: Any = self._stack.enter_context(PromptCache(self.client, **options))
            self.call: Any = lambda function, *args: function(*args)
        else:
            portal = self._stack.enter_context(start_blocking_portal(kind))
            self.call = portal.call
            self.client = AsyncArtanis(**arguments)
            self.real = AsyncPromptCache(self.client, **options)
            self._stack.callback(portal.call, self.client.aclose)
            self._stack.callback(portal.call, self.real.aclose)
        self.source, self.age = self.real.source, self.real.age

    def get(self, step: str = "classify") -> models.Prompt:
        prompt: models.Prompt = self.call(self.real.get, step)
        return prompt

    def text(self, step: str = "classify") -> str:
        return self.get(step).content

    def settle(self) -> None:
        """Wait for what runs in the background."""
        wait_until(lambda: not self.real._policy.refreshes)

    def refreshed(self, step: str = "classify") -> str:
        """Start a refresh with `get`, wait for it, and return the new text."""
        self.settle()  # while a refresh is in progress, no other one starts
        self.text(step)
        self.settle()
        return self.text(step)

    def close(self) -> None:
        self.call(self.real.close if isinstance(self.real, PromptCache) else self.real.aclose)

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._stack.__exit__(*exc_info)


Make = Callable[..., Cache]


@pytest.fixture(params=Both.kinds)
def make(request: pytest.FixtureRequest, server: Server) -> Make:
    """A function that makes a cache of each kind. It reads from the server unless the credentials name another host."""
    return lambda credentials=None, **options: Cache(request.param, credentials or server.credentials, **options)


def warnings(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    records = [record for record in caplog.records if record.name == "artanis_client"]
    return [record.getMessage() for record in records if record.levelno >= level]


# What is served


def test_one_request_serves_every_step(make: Make, server: Server, clock: Clock) -> None:
    """The first call loads the list, which serves every step until `ttl` has passed."""
    server.answers = [answer(classify="a", answer="b")]
    with make(ttl=60) as cache:
        assert (cache.text(), cache.text("answer")) == ("a", "b")
        clock.now += 59.5
        assert isinstance(cache.get(), models.Prompt)
        assert (cache.source("classify"), cache.age("answer")) == ("api", 59.5)
        cache.settle()
    assert [request.path for request in server.requests] == ["/api/prompts?projectSlug=my-project"]


@pytest.mark.parametrize("project", [{"project_slug": "other"}, {"project_id": "other"}])
def test_another_project(make: Make, server: Server, project: dict[str, str]) -> None:
    """The cache can use another project than the client, by slug or id."""
    server.answers = [answer(classify="a")]
    with make(**project) as cache:
        cache.get()
    [name] = project
    assert server.requests[0].path == f"/api/prompts?{name.replace('_s', 'S').replace('_i', 'I')}=other"


def test_load(make: Make, server: Server, clock: Clock) -> None:
    """`load` makes the request of the first `get`, and returns at once while there is something to serve."""
    server.answers = [answer(classify="old"), answer(classify="new")]
    with make(ttl=60) as cache:
        cache.call(cache.real.load)
        assert cache.source("classify") == "api"
        cache.call(cache.real.load)
        assert cache.text() == "old"
        assert len(server.requests) == 1
        clock.now += 60
        cache.call(cache.real.load)  # does not wait
        cache.settle()
        assert cache.text() == "new"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (Answer(503, {"error": "down"}), InternalServerError),
        (Answer(401, {"error": "no"}), AuthenticationError),
        (Answer(404, {"error": "no"}), NotFoundError),
    ],
)
def test_load_fails_at_startup(make: Make, server: Server, response: Answer, error: type[ArtanisError]) -> None:
    """If nothing can be loaded, `load` raises why, and a later one tries again."""
    server.answers = [response, answer(classify="a")]
    with make() as cache:
        with pytest.raises(error):
            cache.call(cache.real.load)
        with pytest.raises(KeyError, match=r"Call load\(\) or get\(\) first"):
            cache.source("classify")
        cache.settle()
        cache.call(cache.real.load)
        assert cache.text() == "a"


def test_load_is_content_with_a_fallback(make: Make, server: Server) -> None:
    """While the API is down, a fallback is enough to start; a wrong key is raised all the same."""
    server.answers = [DOWN, Answer(401, {"error": "no"})]
    with make(fallback={"classify": "f"}) as cache:
        cache.call(cache.real.load)
        assert cache.source("classify") == "fallback"
    with make(fallback={"classify": "f"}) as cache, pytest.raises(AuthenticationError):
        cache.call(cache.real.load)


def test_load_of_a_closed_cache(make: Make, server: Server) -> None:
    """A cache that was closed before it had anything raises."""
    with make() as cache:
        cache.close()
        with pytest.raises(ArtanisError, match="The prompt cache is closed"):
            cache.call(cache.real.load)
    assert server.requests == []


def test_fresh_without_a_lock(server: Server) -> None:
    """Returning a fresh prompt takes neither a request nor the lock, which a refresh may be holding."""
    server.answers = [answer(classify="a")]
    with Cache("sync", server.credentials) as cache:
        cache.get()
        with cache.real._policy.lock():
            assert cache.text() == "a"


def test_stale_while_revalidating(make: Make, server: Server, clock: Clock) -> None:
    """After `ttl`, the old prompt is returned at once while one request loads the new one, however slow it is."""
    arrives = threading.Event()
    server.answers = [answer(classify="old"), Answer(body=answer(classify="new").body, hold=arrives)]
    with make(ttl=60) as cache:
        cache.get()
        for _ in range(50):
            clock.now += 60
            assert (cache.text(), cache.source("classify")) == ("old", "stale")
        assert cache.age("classify") == 3000
        arrives.set()
        cache.settle()
        assert (cache.text(), cache.source("classify"), cache.age("classify")) == ("new", "api", 0)
    assert len(server.requests) == 2


def test_an_activated_version(make: Make, clock: Clock) -> None:
    """A refresh notices an activated version and a removed prompt; an unknown step raises KeyError."""
    with Sandbox(traces=0) as sandbox, make(sandbox.credentials, ttl=60) as cache:
        classify, other = cache.get("classify"), cache.get("answer")
        sandbox.add_version(classify.id, "Answer with one word.")
        sandbox.remove_prompt(other.id)
        assert cache.text() == classify.content
        clock.now += 60
        assert cache.refreshed() == "Answer with one word."
        for ask in (cache.get, cache.source, cache.age):
            with pytest.raises(KeyError, match=r"no prompt for the step 'answer'. Known steps: 'classify'"):
                ask("answer")
        assert sandbox.request_count == 2


def test_nothing_loaded_yet(make: Make) -> None:
    """`source` and `age` load nothing and fail until `get` has been called."""
    with make() as cache:
        for ask in (cache.source, cache.age):
            with pytest.raises(KeyError, match=r"Call load\(\) or get\(\) first"):
                ask("classify")


def test_repr(make: Make, server: Server, clock: Clock) -> None:
    """The repr shows the project, the source of the prompts and their age, but neither host nor key."""
    server.answers = [answer(classify="a", answer="b")]
    with make() as cache:
        name = type(cache.real).__name__
        assert repr(cache.real) == f"<{name} of project my-project, nothing loaded yet>"
        cache.get()
        clock.now += 12
        assert repr(cache.real) == f"<{name} of project my-project, 2 steps from the api, 12 s old>"
    assert repr(cache.real) == f"<{name} of project my-project, 2 steps from the api, 12 s old, closed>"
    server.answers = [DOWN]
    with make(project_id="p\n1", fallback={"classify": "f"}) as cache:
        cache.get()
        assert repr(cache.real) == f"<{name} of project p\\n1, 1 step from the fallback>"
    assert repr(PromptCache.__new__(PromptCache)) == "<PromptCache of no project>"


@pytest.mark.parametrize("what", [PromptCache.__init__, PromptCache.get, PromptCache.age, AsyncPromptCache.get])
def test_type_hints(what: Callable[..., object]) -> None:
    """The type hints can be resolved at run time."""
    assert "return" in get_type_hints(what)


# Many at once


class CountedEvent(threading.Event):
    """Counts the threads that have waited for it."""

    waiting = 0
    threads: ClassVar[set[int]] = set()
    lock = threading.Lock()

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None, "a signal that arrives just before would not be handled"
        with self.lock:
            self.threads.add(threading.get_ident())
            type(self).waiting = len(self.threads)
        return super().wait(timeout)


@pytest.fixture
def count_waiting(monkeypatch: pytest.MonkeyPatch) -> type[CountedEvent]:
    monkeypatch.setattr(PromptCache, "_event_class", CountedEvent)
    monkeypatch.setattr(_cache, "WAKE_UP", 0.001)  # so that each thread waits several times
    CountedEvent.waiting = 0
    CountedEvent.threads.clear()
    return CountedEvent


@pytest.mark.parametrize("status", [200, 503])
def test_threads_on_a_cold_cache(server: Server, count_waiting: type[CountedEvent], status: int) -> None:
    """One of 32 threads loads; the others wait and get the same result or error."""
    arrives = threading.Event()
    server.answers = [Answer(status, answer(classify="a").body, hold=arrives)]
    with Cache("sync", server.credentials) as cache, ThreadPoolExecutor(32) as pool:
        gets = [pool.submit(cache.text) for _ in range(32)]
        wait_until(lambda: count_waiting.waiting == 31)
        arrives.set()
        outcomes = {type(get.exception()) if get.exception() else get.result() for get in gets}
    assert outcomes == {"a" if status == 200 else InternalServerError}
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [200, 503])
def test_tasks_on_a_cold_cache(server: Server, status: int) -> None:
    """One of 1,000 tasks loads; the others wait and get the same result or error."""

    async def main() -> None:
        arrives = threading.Event()
        server.answers = [Answer(status, answer(classify="a").body, hold=arrives)]
        outcomes: list[Any] = []

        async def get() -> None:
            try:
                outcomes.append((await cache.get("classify")).content)
            except InternalServerError as error:
                depth, traceback = 0, error.__traceback__
                while traceback:
                    depth, traceback = depth + 1, traceback.tb_next
                assert depth < 30
                outcomes.append(503)

        client = AsyncArtanis(**server.credentials, max_retries=0)
        async with client, AsyncPromptCache(client) as cache, anyio.create_task_group() as tasks:
            for _ in range(1000):
                tasks.start_soon(get)
            await anyio.wait_all_tasks_blocked()
            arrives.set()
        assert outcomes == ["a" if status == 200 else 503] * 1000

    for nth, backend in enumerate(("asyncio", "trio"), 1):
        anyio.run(main, backend=backend)
        assert len(server.requests) == nth


def test_threads_on_an_expired_cache(server: Server, clock: Clock) -> None:
    """32 threads that find a stale prompt all get it at once, and only one request is sent."""
    server.answers = [answer(classify="old"), Answer(body=answer(classify="new").body, hold=threading.Event())]
    with Cache("sync", server.credentials) as cache, ThreadPoolExecutor(32) as pool:
        cache.get()
        clock.now += 60
        barrier = threading.Barrier(32, timeout=LIMIT)

        def get() -> set[str]:
            barrier.wait()
            return {cache.text() for _ in range(100)}

        assert [run.result() for run in [pool.submit(get) for _ in range(32)]] == [{"old"}] * 32
        wait_until(lambda: len(server.requests) == 2)
        server.stopping.set()
        cache.settle()
        assert {run.result() for run in [pool.submit(cache.text) for _ in range(32)]} == {"new"}
    assert len(server.requests) == 2


def test_tasks_on_an_expired_cache(server: Server, clock: Clock) -> None:
    """1,000 tasks that find a stale prompt all get it at once, and only one request is sent."""

    async def main() -> None:
        arrives = threading.Event()
        server.answers = [answer(classify="old"), Answer(body=answer(classify="new").body, hold=arrives)]
        async with AsyncArtanis(**server.credentials) as client, AsyncPromptCache(client) as cache:

            async def get() -> None:
                found.add((await cache.get("classify")).content)

            for now in ("cold", "old", "new"):
                found: set[str] = set()
                async with anyio.create_task_group() as tasks:
                    for _ in range(1 if now == "cold" else 1000):
                        tasks.start_soon(get)
                assert found == {"old" if now == "cold" else now}
                if now == "cold":
                    clock.now += 60
                elif now == "old":
                    arrives.set()
                    await until(lambda: not cache._policy.refreshes)

    for nth, backend in enumerate(("asyncio", "trio"), 1):
        anyio.run(main, backend=backend)
        assert len(server.requests) == 2 * nth


def test_an_interrupted_load(server: Server, count_waiting: type[CountedEvent]) -> None:
    """If the thread that loads is interrupted, a waiting thread loads instead."""
    server.answers = [answer(classify="a")]
    interrupted = threading.Event()

    def interrupt(_: object) -> None:
        if not interrupted.is_set():
            interrupted.set()
            wait_until(lambda: count_waiting.waiting == 1)
            raise KeyboardInterrupt

    client = Artanis(**server.credentials, httpx_args={"event_hooks": {"request": [interrupt]}})
    with client, PromptCache(client) as cache, ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "classify")
        assert interrupted.wait(LIMIT)
        second = pool.submit(cache.get, "classify")
        assert isinstance(first.exception(), KeyboardInterrupt)
        assert second.result().content == "a"


def test_a_time_limit(server: Server, count_waiting: type[CountedEvent], clock: Clock) -> None:
    """An exception of a signal handler passes through the thread that loads; a waiting thread loads instead."""

    class Limit(Exception):
        pass

    def on_signal(*_: object) -> None:
        raise Limit

    def interrupt(_: object) -> None:
        if not others:
            others.append(pool.submit(cache.get, "classify"))
            wait_until(lambda: count_waiting.waiting == 1)
            signal.raise_signal(signal.SIGINT)

    server.answers = [answer(classify="a"), answer(classify="b"), answer(classify="c")]
    others: list[Any] = []
    client = Artanis(**server.credentials, httpx_args={"event_hooks": {"request": [interrupt]}})
    previous = signal.signal(signal.SIGINT, on_signal)
    try:
        with client, ThreadPoolExecutor(1) as pool:
            with PromptCache(client) as cache:
                with pytest.raises(Limit):
                    cache.get("classify")
                assert others[0].result(LIMIT).content == "a"
            told = PromptCache(client, ttl=1, stale_for=0, on_change=lambda *_: signal.raise_signal(signal.SIGINT))
            told.get("classify")
            clock.now += 60
            with pytest.raises(Limit):
                told.get("classify")
    finally:
        signal.signal(signal.SIGINT, previous)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_waiter(server: Server, backend: str) -> None:
    """Cancelling a task that waits for the first load cancels neither the load nor the other tasks."""
    arrives = threading.Event()
    server.answers = [Answer(body=answer(classify="a").body, hold=arrives)]

    async def main() -> None:
        async with AsyncArtanis(**server.credentials) as client, AsyncPromptCache(client) as cache:
            async with anyio.create_task_group() as tasks:
                with anyio.move_on_after(0):
                    await cache.get("classify")  # the one that starts the load
                tasks.start_soon(cache.get, "classify")
                await anyio.wait_all_tasks_blocked()
                arrives.set()
            assert (await cache.get("classify")).content == "a"

    anyio.run(main, backend=backend)
    assert len(server.requests) == 1


# Failures


def test_down_later(make: Make, server: Server, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """While the API is down, stale prompts are served, retries become rarer, and each outage logs one warning."""
    server.answers = [answer(classify="a")]
    with make() as cache:
        cache.get()
        for times in (1, 2):
            server.answers, before = [DOWN], len(server.requests)
            moments = []
            for _ in range(600):
                clock.now += 1
                known = len(server.requests)
                assert cache.refreshed() == "a"
                moments += [clock.now] * (len(server.requests) - known)
            gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
            assert 10 <= len(server.requests) - before <= 20
            assert gaps[0] <= 2 < 45 <= gaps[-1] <= 60
            assert len(warnings(caplog)) == times
            assert "prompts of project my-project; serving 1 step from the api, " in warnings(caplog)[-1]
            assert "503 down" in warnings(caplog)[-1]
            server.answers = [answer(classify="a")]
            clock.now += 60
            cache.refreshed()
            assert cache.source("classify") == "api"


def test_flapping(make: Make, server: Server, clock: Clock) -> None:
    """No kind of failure reaches the caller, and each recovery is noticed."""
    broken = [DOWN, Answer(reset=True), Answer(body=b"<html>"), Answer(404, {"error": "Not found"}), Answer(429)]
    server.answers = [answer(classify="0")]
    with make() as cache:
        cache.get()
        for number, failure in enumerate(broken, 1):
            server.answers = [failure]
            clock.now += 100
            assert cache.refreshed() == str(number - 1)
            server.answers = [answer(classify=str(number))]
            clock.now += 2
            assert cache.refreshed() == str(number)


def test_retry_after(make: Make, server: Server, clock: Clock) -> None:
    """`Retry-After` is respected, up to ten minutes."""
    server.answers = [answer(classify="a")]
    with make() as cache:
        cache.get()
        for asked, waited in ((300, 300), (10**9 - 1, 600)):
            server.answers = [Answer(429, headers={"Retry-After": str(asked)})]
            clock.now += 60
            cache.refreshed()
            known = len(server.requests)
            clock.now += waited - 1
            cache.refreshed()
            assert len(server.requests) == known
            clock.now += 1
            server.answers = [answer(classify="a")]
            cache.refreshed()
            assert len(server.requests) == known + 1


def test_stale_for(make: Make, server: Server, clock: Clock) -> None:
    """Nothing is served for longer than `ttl` plus `stale_for`; after that, callers wait as at the start."""
    server.answers = [answer(classify="a")]
    with make(ttl=60, stale_for=300) as cache:
        cache.get()
        server.answers = [DOWN]
        clock.now += 359
        assert cache.refreshed() == "a"
        clock.now += 1
        with pytest.raises(InternalServerError):
            cache.get()
        server.answers = [answer(classify="b")]
        assert (cache.text(), cache.source("classify")) == ("b", "api")


def test_nothing_stale(make: Make, server: Server, clock: Clock) -> None:
    """With `stale_for=0`, callers wait for the new prompt."""
    server.answers = [answer(classify="a"), answer(classify="b")]
    with make(ttl=60, stale_for=0) as cache:
        cache.get()
        clock.now += 60
        assert cache.text() == "b"


def test_waiting_for_a_refresh(server: Server, clock: Clock, count_waiting: type[CountedEvent]) -> None:
    """If the prompts expire during a refresh, callers wait for that refresh."""
    arrives = threading.Event()
    server.answers = [answer(classify="a"), Answer(body=answer(classify="b").body, hold=arrives)]
    with Cache("sync", server.credentials, ttl=60, stale_for=60) as cache, ThreadPoolExecutor(1) as pool:
        cache.get()
        clock.now += 60
        assert cache.text() == "a"
        clock.now += 60
        known = count_waiting.waiting
        waiting = pool.submit(cache.text)
        wait_until(lambda: count_waiting.waiting > known)
        arrives.set()
        assert waiting.result() == "b"
    assert len(server.requests) == 2


def test_a_cold_start_without_anything(
    make: Make, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without snapshot and fallback, the API's error is raised, and the next call tries again."""
    server.answers = [DOWN]
    with make(snapshot=tmp_path / "snapshot") as cache:
        with pytest.raises(InternalServerError) as caught:
            cache.get()
        assert not hasattr(caught.value, "__notes__")
        assert not warnings(caplog)
        server.answers = [answer(classify="a")]
        assert cache.text() == "a"


def test_fallback(make: Make, server: Server, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """If the API is down at the start, the fallback is served until the API responds."""
    told: list[Any] = []
    server.answers = [DOWN]
    with make(fallback={"classify": "f"}, on_change=lambda old, new: told.append((old and old.content, new))) as cache:
        prompt = cache.get()
        assert (prompt.content, prompt.id, prompt.output_schema, prompt.updated_at.year) == ("f", "", None, 1970)
        assert (cache.source("classify"), cache.age("classify")) == ("fallback", None)
        assert [
            message for message in warnings(caplog) if "serving 1 step from the fallback. GET" in message
        ] == warnings(caplog)
        for _ in range(3):  # the project may have this step
            with pytest.raises(InternalServerError) as caught:
                cache.get("answer")
        assert len(caught.traceback) < 20
        with pytest.raises(KeyError, match="'answer'"):
            cache.source("answer")
        assert len(server.requests) == 1
        server.answers = [answer(classify="a")]
        clock.now += 1
        assert cache.refreshed() == "a"
        assert told == [("f", cache.get())]


def test_a_step_that_the_snapshot_lacks(make: Make, server: Server, clock: Clock, tmp_path: Path) -> None:
    """If the API is down at the start, a step comes from the snapshot, else the fallback, or raises the API's error."""
    told: dict[str, Any] = {}
    server.answers = [answer(classify="a")]
    with make(snapshot=tmp_path / "snapshot") as cache:
        cache.get()
    server.answers = [DOWN]
    options: dict[str, Any] = {
        "fallback": {"classify": "f", "new": "fallback of new"},
        "on_change": lambda old, new: told.update({(old or new).step_id: (old and old.content, new and new.content)}),
    }
    with make(snapshot=tmp_path / "snapshot", **options) as cache:
        assert (cache.text(), cache.source("classify")) == ("a", "snapshot")
        assert (cache.text("new"), cache.source("new"), cache.age("new")) == ("fallback of new", "fallback", None)
        assert cache.get("new").id == ""
        for _ in range(2):
            with pytest.raises(InternalServerError):
                cache.get("other")
        assert len(server.requests) == 2
        server.answers = [answer(classify="a", new="real")]
        clock.now += 1
        assert cache.refreshed("new") == "real"
        assert told == {"new": ("fallback of new", "real")}
        assert cache.source("new") == "api"


@pytest.mark.parametrize("status", [404, 410, 302, 400])
def test_a_refresh_that_waiting_does_not_cure(
    make: Make, server: Server, clock: Clock, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """A project that is gone for good is logged as an error, once, also if it was unreachable before."""
    server.answers = [answer(classify="a")]
    with make(ttl=60) as cache:
        cache.get()
        for refusal in (DOWN, *[Answer(status, {"error": "No such project"})] * 3):
            server.answers = [refusal]
            clock.now += 100
            assert cache.refreshed() == "a"
        assert len(server.requests) == 5
        [error] = warnings(caplog, logging.ERROR)
        assert str(status) in error
        server.answers = [answer(classify="b")]
        clock.now += 100
        assert cache.refreshed() == "b"
        server.answers = [Answer(status, {"error": "No such project"})]
        clock.now += 100
        assert cache.refreshed() == "b"
        assert len(warnings(caplog, logging.ERROR)) == 2


def test_a_snapshot_with_a_number_that_json_lacks(
    make: Make, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A snapshot that contains Infinity, which earlier versions could write, is not used."""
    server.answers = [answer(classify="a")]
    with make(snapshot=tmp_path / "snapshot") as cache:
        cache.get()
    content = json.loads((tmp_path / "snapshot").read_text())
    del content["sha256"]
    content["prompts"][0]["outputSchema"] = {"maximum": float("inf")}
    content["sha256"] = compute_checksum(content)
    (tmp_path / "snapshot").write_text(json.dumps(content))
    server.answers = [DOWN]
    with make(snapshot=tmp_path / "snapshot") as cache, pytest.raises(InternalServerError):
        cache.get()
    assert any("it is damaged" in message for message in warnings(caplog))


WRONG = {
    "key": (Answer(401, {"error": "Not authenticated"}), AuthenticationError),
    "organization": (Answer(403, {"error": "Forbidden"}), PermissionDeniedError),
    "configuration": (None, CredentialsError),
    "hook": (None, ZeroDivisionError),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_never_hidden(
    make: Make, server: Server, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """A wrong key, organization or configuration is raised at the start, and later logged once as an error."""
    wrong, expected = WRONG[name]
    keys: list[Callable[[], str]] = [lambda: KEY]

    def key() -> str:
        return keys[-1]()

    def failing() -> str:
        return f"{1 / 0}" if name == "hook" else "no key"

    refusal = wrong or Answer(401)  # makes the client ask for another key
    snapshot = tmp_path / "snapshot"
    server.answers = [answer(classify="a")]
    with make(snapshot=snapshot) as cache:
        cache.get()
    options: dict[str, Any] = {"snapshot": snapshot, "fallback": {"classify": "f"}, "stale_for": 1000}
    with make(api_key=key, **options) as cache:
        for _ in range(2):
            server.answers = [refusal]
            keys += [] if wrong else [failing]
            with pytest.raises(expected):
                cache.get()
        keys.append(lambda: KEY)
        server.answers = [DOWN]
        assert (cache.text(), cache.source("classify")) == ("a", "snapshot")
        server.answers = [refusal]
        keys += [] if wrong else [failing]
        for _ in range(5):
            clock.now += 100
            assert cache.refreshed() == "a"
        [message] = warnings(caplog, logging.ERROR)
        assert (expected.__name__ if name == "hook" else str(wrong.status) if wrong else "api_key") in message
        assert str(refusal.status) in message
        clock.now += 1000
        with pytest.raises(expected if wrong else AuthenticationError):
            cache.get()


def test_a_rotated_key(make: Make, server: Server, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """After a key rotation, the client gets the new key, and the refresh succeeds."""
    keys = ["key-1"]

    def respond(request: Request) -> Answer:
        is_right = request.headers["x-api-key"] == keys[0]
        return answer(classify=keys[0]) if is_right else Answer(401, {"error": "Not authenticated"})

    server.answers = [respond]
    with make(api_key=lambda: keys[0]) as cache:
        assert cache.text() == "key-1"
        keys[0] = "key-2"
        clock.now += 60
        assert cache.refreshed() == "key-2"
    assert not warnings(caplog)


def test_a_closed_client(make: Make, server: Server) -> None:
    """A closed client is not an outage, so it is not hidden by the fallback."""
    with make(fallback={"classify": "f"}) as cache:
        cache.call(cache.client.close if hasattr(cache.client, "close") else cache.client.aclose)
        with pytest.raises(ArtanisError, match="client is closed"):
            cache.get()


def test_no_more_threads(
    server: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If no thread can be started, stale prompts are served and the refresh is tried again later."""
    server.answers = [answer(classify="a"), answer(classify="b")]

    def start(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with Cache("sync", server.credentials) as cache:
        cache.get()
        clock.now += 60
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start)
            assert cache.refreshed() == "a"
        assert "can't start new thread" in warnings(caplog)[0]
        clock.now += 60
        assert cache.refreshed() == "b"


def test_no_thread_for_the_snapshot(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If no thread can be started for the snapshot, an async cache still serves prompts."""

    async def run_sync(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_cache, "to_thread", SimpleNamespace(run_sync=run_sync))
    server.answers = [answer(classify="a")]
    with Cache("trio", server.credentials, snapshot=tmp_path / "snapshot") as cache:
        assert cache.text() == "a"
    assert "cannot be written: can't start new thread" in warnings(caplog)[0]


def test_the_key_in_an_error_of_a_key_function(server: Server, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A key in the error of a key function is not logged."""

    def fail() -> str:
        if not server.requests:
            return KEY
        raise ValueError(f"the key {KEY} has expired")

    server.answers = [answer(classify="a"), Answer(401)]
    with Cache("sync", server.credentials, api_key=fail) as cache:
        cache.get()
        clock.now += 60
        cache.refreshed()
    assert "ValueError: the key **** has expired" in warnings(caplog)[0]


# Changes


def test_on_change(make: Make, server: Server, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """`on_change` is called once for each step that was changed, added or removed; it may fail."""
    told: list[tuple[Any, ...]] = []

    def on_change(old: models.Prompt | None, new: models.Prompt | None) -> None:
        told.append((old and old.content, new and new.content, cache.real._policy.lock().locked()))
        raise ValueError("no")

    server.answers = [answer(same="s", edited="1", gone="g"), answer(same="s", edited="2", added="n")]
    with make(on_change=on_change) as cache:
        cache.get("same").content = "changed by a caller"
        assert told == []
        for _ in range(3):
            clock.now += 60
            cache.refreshed("same")
    assert told == [("1", "2", False), ("g", None, False), (None, "n", False)]
    assert len(warnings(caplog, logging.ERROR)) == 3


def test_on_change_that_uses_the_cache(server: Server, clock: Clock) -> None:
    """`on_change` can use the cache without a deadlock, and is not called again after it has closed the cache."""
    seen: list[str] = []
    server.answers = [answer(classify="a", answer="a"), answer(classify="b", answer="b")]

    def on_change(*_: object) -> None:
        seen.append(cache.text())
        cache.close()

    cache = Cache("sync", server.credentials, stale_for=0, on_change=on_change)
    with cache:
        cache.get()
        clock.now += 60
        assert cache.text() == "b"
    assert seen == ["b"]


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_an_async_on_change(server: Server, clock: Clock, kind: str) -> None:
    """An async `on_change` can use an AsyncPromptCache without a deadlock, and can close it."""
    seen: list[str] = []
    server.answers = [answer(classify="a", answer="a"), answer(classify="b", answer="b")]

    async def on_change(*_: object) -> None:
        await anyio.sleep(0)
        seen.append((await cache.real.get("classify")).content)
        await cache.real.aclose()

    cache = Cache(kind, server.credentials, on_change=on_change)
    with cache:
        cache.get()
        clock.now += 60
        assert cache.refreshed() == "b"
    assert seen == ["b"]


# Snapshots


def test_a_cold_start_from_a_snapshot(
    make: Make, server: Server, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If the API is down at the start, the snapshot is served, and then what has changed once the API responds."""
    told: list[Any] = []
    rows = answer(classify="a\ud800 \u2028", answer="é").body["prompts"]
    rows[0]["outputSchema"] = {"maximum": 1e308, "x": ["NaN", -0.0, 10**30]}
    server.answers = [Answer(body={"prompts": [{**rows[0], "new": 1}, {**rows[1], "outputSchema": None}]})]
    with make(snapshot=tmp_path / "snapshot") as cache:
        before = [cache.get("classify"), cache.get("answer")]
    server.answers = [DOWN]
    options: dict[str, Any] = {"fallback": {"classify": "f"}, "on_change": lambda *pair: told.append(pair)}
    with make(snapshot=tmp_path / "snapshot", **options) as cache:
        prompts = [cache.get("classify"), cache.get("answer")]
        assert list(map(repr, prompts)) == list(map(repr, before))
        assert cache.source("classify") == "snapshot"
        assert 0 <= cache.age("classify") < 60
        assert ["serving 2 steps from the snapshot, " in message for message in warnings(caplog)] == [True]
        with pytest.raises(InternalServerError):  # the project may have this step by now
            cache.get("other")
        with pytest.raises(KeyError, match="'answer', 'classify'"):
            cache.source("other")
        server.answers = [answer(classify="b", answer="é")]
        clock.now += 1
        assert cache.refreshed() == "b"
        assert cache.source("classify") == "api"
        assert told[0] == (prompts[0], cache.get())
    assert b"key" not in (tmp_path / "snapshot").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot"]


def test_when_a_snapshot_is_written(make: Make, server: Server, clock: Clock, tmp_path: Path) -> None:
    """The snapshot is written when prompts change, or on each refresh with `stale_for`. Only its owner can read it."""
    for stale_for in (None, 1000):
        path = tmp_path / f"{stale_for}"
        server.answers = [answer(classify="a")]
        with make(snapshot=path, stale_for=stale_for) as cache:
            cache.get()
            cache.settle()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600 or sys.platform == "win32"
            for text, is_new in (("a", False), ("b", True), ("b", False)):
                before = path.read_bytes()
                server.answers = [answer(classify=text)]
                clock.now += 60
                cache.refreshed()
                assert (path.read_bytes() != before) is (is_new or stale_for is not None)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_closing_at_once(server: Server, tmp_path: Path, backend: str) -> None:
    """A program that gets one prompt and exits has written the snapshot."""
    server.answers = [answer(classify="a")]

    async def main() -> None:
        async with (
            AsyncArtanis(**server.credentials) as client,
            AsyncPromptCache(client, snapshot=tmp_path / "snapshot") as cache,
        ):
            await cache.get("classify")

    anyio.run(main, backend=backend)
    assert (tmp_path / "snapshot").is_file()


def test_a_snapshot_through_a_link(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path survives a change of directory, and a link is not replaced."""
    server.answers = [answer(classify="a")]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "elsewhere").mkdir()
    with Cache("sync", server.credentials, snapshot="link") as cache:
        monkeypatch.chdir(tmp_path / "elsewhere")
        cache.get()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").is_file()


def rewrite(path: Path, **fields: Any) -> None:
    """Change a snapshot and its checksum."""
    content = {**json.loads(path.read_text()), **fields}
    content.pop("sha256")
    path.write_text(json.dumps({**content, "sha256": compute_checksum(content)}))


def yesterday() -> str:
    return (datetime.now(UTC) - timedelta(days=1)).isoformat()


def into_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "it is damaged, or"),
    "edited": (lambda path: path.write_text(path.read_text().replace('"one"', '"two"')), "it is damaged, or"),
    "binary": (lambda path: path.write_bytes(b"\xff\x00"), "it is damaged, or"),
    "empty": (lambda path: path.write_bytes(b""), "it is damaged, or"),
    "nested": (lambda path: path.write_bytes(b"[" * 1_000_000), "it is damaged, or"),
    "a list": (lambda path: path.write_text("[]"), "it is not a prompt snapshot of this version"),
    "something else": (lambda path: path.write_text('{"name": "x"}'), "it is not a prompt snapshot of this version"),
    "version": (lambda path: rewrite(path, format="artanis-client prompt snapshot 2"), "snapshot of this version"),
    "shape": (lambda path: rewrite(path, prompts=[{**PROMPT, "id": 5}]), r"its prompts\[0\].id should be string"),
    "no prompts": (lambda path: rewrite(path, prompts=None), "its prompts should be array"),
    "time": (lambda path: rewrite(path, written="now"), "it is damaged, or"),
    "no owner": (lambda path: rewrite(path, owner=None), "belongs to None"),
    "age": (lambda path: rewrite(path, written=yesterday()), "older than ttl and stale_for allow"),
    "folder": (into_folder, "cannot be used: Is a directory"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_snapshot_that_is_refused(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """A damaged or old snapshot is never served; the log and the error say why."""
    damage, reason = REFUSED[name]
    path = tmp_path / "snapshot"
    server.answers = [answer(classify="one")]
    with Cache("sync", server.credentials, snapshot=path) as cache:
        cache.get()
    damage(path)
    server.answers = [DOWN]
    with Cache("sync", server.credentials, snapshot=path, stale_for=3600, fallback={"classify": "f"}) as cache:
        assert (cache.text(), cache.source("classify")) == ("f", "fallback")
    with Cache("sync", server.credentials, snapshot=path, stale_for=3600) as cache:
        for _ in range(2):
            with pytest.raises(InternalServerError, match=reason):
                cache.get()
    refused, _, refused_again = warnings(caplog)
    assert refused == refused_again
    assert str(path) in refused


@pytest.mark.parametrize("name", ["org_slug", "project_slug", "project_id", "base_url"])
def test_a_foreign_snapshot(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """A snapshot of another organization, project or host is never served."""
    server.answers = [answer(classify="a")]
    with Cache("sync", server.credentials, snapshot=tmp_path / "snapshot") as cache:
        cache.get()
    credentials, options = dict(server.credentials), {}
    if name == "base_url":
        credentials["base_url"] += "/other"
    else:
        options[name] = "other"
    server.answers = [DOWN]
    with (
        Cache("sync", credentials, snapshot=tmp_path / "snapshot", **options) as cache,
        pytest.raises(InternalServerError, match=r"belongs to.*my-org.*other"),
    ):
        cache.get()
    assert "belongs to" in warnings(caplog)[0]


def test_a_snapshot_that_cannot_be_written(
    make: Make, server: Server, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If the snapshot cannot be written, one warning is logged, and it is written as soon as possible."""
    folder = tmp_path / "folder"
    server.answers = [answer(classify="a")]
    with make(snapshot=folder / "snapshot") as cache:
        for _ in range(3):
            clock.now += 60
            assert cache.refreshed() == "a"
        cache.settle()
        [message] = warnings(caplog)
        assert "cannot be written: No such file or directory" in message
        folder.mkdir()
        clock.now += 60
        cache.refreshed()
        cache.settle()
        assert (folder / "snapshot").is_file()


def test_a_snapshot_that_cannot_be_replaced(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If the snapshot cannot be replaced, no temporary file is left."""
    (tmp_path / "snapshot").mkdir()
    server.answers = [answer(classify="a")]
    with Cache("sync", server.credentials, snapshot=tmp_path / "snapshot") as cache:
        assert cache.text() == "a"
    assert "cannot be written" in warnings(caplog)[0]
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot"]


@pytest.mark.once
def test_killed_while_writing(server: Server, tmp_path: Path) -> None:
    """A process that is killed while it writes a snapshot leaves the old one intact."""
    code = """
import os, sys, time
from artanis_client import Artanis, PromptCache

def hang(_):
    print("written, not yet replaced", flush=True)
    time.sleep(600)

PromptCache(Artanis(), snapshot=sys.argv[1]).get("classify")
os.fsync = hang
PromptCache(Artanis(), snapshot=sys.argv[1]).get("classify")
"""
    server.answers = [answer(classify="old" * 100_000), answer(classify="new" * 100_000), DOWN]
    path = tmp_path / "snapshot"
    variables = {f"ARTANIS_{name.upper()}": value for name, value in server.credentials.items()}
    command = [sys.executable, "-c", code, str(path)]
    environment = {**unmeasured(), **variables}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline()
        process.kill()
    with Cache("sync", server.credentials, snapshot=path) as cache:
        assert (cache.text(), cache.source("classify")) == ("old" * 100_000, "snapshot")


# Processes, event loops and ends


@forks
@after_fork
def test_after_fork(server: Server, clock: Clock) -> None:
    """A forked process waits neither for a lock nor for a refresh of threads that it does not have."""
    never = threading.Event()
    server.answers = [answer(classify="a"), Answer(body=answer(classify="b").body, hold=never), answer(classify="c")]
    with Cache("sync", server.credentials) as cache:
        cache.get()
        clock.now += 60
        cache.get()
        wait_until(lambda: len(server.requests) == 2)
        with cache.real._policy.lock():
            child = os.fork()
        if child == 0:  # pragma: no cover - measured in the parent alone
            signal.alarm(2 * int(LIMIT))
            status = 1
            try:
                assert cache.real._policy.lock().acquire(timeout=LIMIT)
                cache.real._policy.lock().release()
                status = 0 if (cache.text(), cache.refreshed()) == ("a", "c") else 2
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert cache.text() == "a"
        never.set()
        cache.settle()
        assert cache.text() == "b"


EXITS = {
    "sync": """
from artanis_client import Artanis, PromptCache
cache = PromptCache(Artanis(timeout=None), ttl=0.001)
cache.get("classify"); time.sleep(0.01); cache.get("classify")
wait()
""",
    "async": """
import anyio
from artanis_client import AsyncArtanis, AsyncPromptCache
async def main():
    cache = AsyncPromptCache(AsyncArtanis(timeout=None), ttl=0.001)
    await cache.get("classify"); await anyio.sleep(0.01); await cache.get("classify")
    await anyio.to_thread.run_sync(wait)
anyio.run(main, backend=sys.argv[1])
""",
}


@pytest.mark.parametrize("kind", Both.kinds)
def test_the_end_of_the_interpreter(server: Server, tmp_path: Path, kind: str) -> None:
    """A process exits at once and silently during a refresh."""
    server.answers = [answer(classify="a"), Answer(body=b"{}", hold=threading.Event())]
    wait = f"""
import pathlib, sys, time
def wait():
    pathlib.Path({str(tmp_path / "asked")!r}).touch()
    while not pathlib.Path({str(tmp_path / "go")!r}).exists(): time.sleep(0.001)
"""
    variables = {f"ARTANIS_{name.upper()}": value for name, value in server.credentials.items()}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", wait + EXITS["sync" if kind == "sync" else "async"], kind],
        env={**unmeasured(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until(lambda: len(server.requests) == 2)
        (tmp_path / "go").touch()
        output, _ = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    assert (process.returncode, output) == (0, b"")


# An event loop that ends leaves connections open, which can only be garbage collected.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_event_loops_in_turn(server: Server, clock: Clock) -> None:
    """If the event loop of a refresh has ended or paused, the next `get` in another one waits for a new refresh."""
    hanging = Answer(body=answer(classify="never").body, hold=threading.Event())
    server.answers = [answer(classify="a"), hanging, answer(classify="b"), hanging, answer(classify="c")]

    def use() -> None:
        cache = AsyncPromptCache(AsyncArtanis(**server.credentials))

        async def get() -> str:
            known = len(server.requests)
            text = (await cache.get("classify")).content
            await until(lambda: not cache._policy.refreshes or len(server.requests) > known)
            return text

        assert anyio.run(get) == "a"
        clock.now += 60
        assert anyio.run(get, backend="trio") == "a"
        assert anyio.run(get) == "b"
        clock.now += 60
        paused = asyncio.new_event_loop()
        assert paused.run_until_complete(get()) == "b"
        assert anyio.run(get, backend="trio") == "c"
        unfinished = asyncio.all_tasks(paused)
        for task in unfinished:
            task.cancel()
        assert not paused.run_until_complete(asyncio.wait(unfinished, timeout=LIMIT))[1]
        paused.close()

    use()
    gc.collect()
    assert len(server.requests) == 5


# An event loop that ends leaves connections open, which can only be garbage collected.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_event_loop_for_each_call(server: Server, clock: Clock, backend: str) -> None:
    """Prompts are refreshed even if each event loop ends early; while the API is down, the old ones are served."""
    hanging = Answer(hold=threading.Event())
    server.answers = [answer(classify="a"), hanging, DOWN, hanging, answer(classify="b")]

    def use() -> None:
        cache = AsyncPromptCache(AsyncArtanis(**server.credentials, max_retries=0))

        async def get() -> str:
            text = (await cache.get("classify")).content
            await until(lambda: not cache._policy.refreshes or len(server.requests) in (2, 4))
            return text

        texts: list[str] = []
        for _ in range(5):
            texts.append(anyio.run(get, backend=backend))
            clock.now += 60
        assert texts == ["a", "a", "a", "a", "b"]

    use()
    gc.collect()
    assert len(server.requests) == 5


# An event loop that ends leaves connections open, which can only be garbage collected.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_event_loops_at_the_same_time(server: Server, clock: Clock) -> None:
    """Event loops in several threads each load once at the start, and then share refreshes."""
    server.answers = [answer(classify="a")]
    barrier = threading.Barrier(4, timeout=LIMIT)

    def use() -> None:
        cache = AsyncPromptCache(AsyncArtanis(**server.credentials))

        async def main() -> None:
            for nth in range(20):
                await anyio.to_thread.run_sync(barrier.wait)
                assert (await cache.get("classify")).content == "a"
                await until(lambda: not cache._policy.refreshes)
                if await anyio.to_thread.run_sync(barrier.wait) == 0:
                    assert len(server.requests) <= 4 + nth
                    clock.now += 60

        with ThreadPoolExecutor(4) as pool:
            backends = ["asyncio", "trio"] * 2
            for run in [pool.submit(lambda name: anyio.run(main, backend=name), name) for name in backends]:
                run.result()

    use()
    gc.collect()


def test_a_task_that_is_cancelled_before_it_starts(server: Server) -> None:
    """If the task is cancelled before it starts, a waiter loads instead."""
    server.answers = [answer(classify="a")]

    async def main() -> None:
        async with AsyncArtanis(**server.credentials) as client, AsyncPromptCache(client) as cache:
            waiting = asyncio.create_task(cache.get("classify"))
            with anyio.fail_after(LIMIT):
                while not cache._policy.refreshes:
                    await asyncio.sleep(0)  # not longer: the task must not start before it is cancelled
            [refresh] = cache._policy.refreshes.values()
            refresh.task.cancel()
            assert (await waiting).content == "a"

    asyncio.run(main())


def test_closing(make: Make, server: Server, clock: Clock) -> None:
    """Closing drops a refresh in progress and starts no other; loaded prompts are still served. It can be repeated."""
    told: list[Any] = []
    arrives = threading.Event()
    server.answers = [answer(classify="a"), Answer(body=answer(classify="b").body, hold=arrives)]
    with make(on_change=lambda *pair: told.append(pair), stale_for=1000) as cache:
        cache.get()
        clock.now += 60
        cache.get()
        wait_until(lambda: len(server.requests) == 2)
        cache.close()
        cache.close()
        arrives.set()
        cache.settle()
        clock.now += 60
        assert cache.refreshed() == "a"
        clock.now += 1000
        with pytest.raises(ArtanisError, match="prompt cache is closed"):
            cache.get()
    assert len(server.requests) == 2
    assert not told


def test_closing_while_others_wait(server: Server) -> None:
    """If an async cache is closed during its first load, those who wait get an error."""
    server.answers = [Answer(hold=threading.Event())]

    async def main() -> None:
        client = AsyncArtanis(**server.credentials)
        async with client, anyio.create_task_group() as tasks, AsyncPromptCache(client) as cache:

            async def get() -> None:
                with pytest.raises(ArtanisError, match="prompt cache is closed"):
                    await cache.get("classify")

            tasks.start_soon(get)
            await anyio.wait_all_tasks_blocked()

    for backend in ("asyncio", "trio"):
        anyio.run(main, backend=backend)


# Arguments


async def async_on_change(*_: object) -> None: ...


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"ttl": 0}, ValueError, "ttl must be more than 0 seconds"),
        ({"ttl": -1}, ValueError, "ttl must be at least 0 seconds, not -1"),
        ({"ttl": math.nan}, ValueError, "ttl must be at least 0 seconds, not nan"),
        ({"ttl": "60"}, TypeError, "ttl must be a number of seconds, not str"),
        ({"ttl": True}, TypeError, "ttl must be a number of seconds, not bool"),
        ({"stale_for": -1}, ValueError, "stale_for must be at least 0 seconds, not -1"),
        ({"stale_for": math.inf}, ValueError, "stale_for must be at most 1e"),
        ({"ttl": math.inf}, ValueError, "ttl must be at most 1e"),
        ({"project_slug": 5}, TypeError, "project_slug must be a string, not int"),
        ({"project_slug": "a", "project_id": "b"}, ValueError, "not both"),
        ({"snapshot": 1.5}, TypeError, "PathLike"),
        ({"fallback": "text"}, TypeError, "fallback must be a mapping"),
        ({"fallback": {"classify": None}}, TypeError, "from steps to texts, both strings"),
        ({"on_change": 5}, TypeError, "on_change must be a function"),
        ({"on_change": async_on_change}, TypeError, "async on_change needs AsyncPromptCache"),
    ],
)
def test_wrong_arguments(server: Server, options: dict[str, Any], error: type[Exception], text: str) -> None:
    """Wrong arguments are refused by the constructor, before any request."""
    with Artanis(**server.credentials) as client, pytest.raises(error, match=text):
        PromptCache(client, **options)


def test_only_the_client_is_positional(server: Server) -> None:
    """All other arguments must be passed by name."""
    with Artanis(**server.credentials) as client, pytest.raises(TypeError, match="positional"):
        PromptCache(client, "my-project")  # type: ignore[call-arg]


def test_the_wrong_client(server: Server) -> None:
    """Each cache takes its own kind of client, and needs a project."""
    with pytest.raises(TypeError, match="client must be an Artanis, not AsyncArtanis"):
        PromptCache(AsyncArtanis(**server.credentials))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="client must be an AsyncArtanis, not Artanis"):
        AsyncPromptCache(Artanis(**server.credentials))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="No project"):
        PromptCache(Artanis(api_key="k", org_slug="o"))


def test_refused_at_the_start(make: Make) -> None:
    """If nothing listens at the address, the connection error is raised."""
    credentials = {"api_key": "k", "org_slug": "o", "project_slug": "p", "base_url": "http://127.0.0.1:9"}
    with make(credentials) as cache, pytest.raises(APIConnectionError):
        cache.get()


@pytest.mark.skipif(sys.platform == "win32", reason="modes and devices are those of Unix")
def test_what_a_snapshot_replaces(make: Make, server: Server, clock: Clock, tmp_path: Path) -> None:
    """A file keeps its mode, a link leads to the file, and a device stays one."""
    path, link = tmp_path / "snapshot", tmp_path / "link"
    path.touch()
    path.chmod(0o640)
    link.symlink_to(path)
    server.answers = [answer(classify="a")]
    for target in (link, "/dev/null"):
        with make(snapshot=target) as cache:
            cache.get()
            cache.settle()
    assert link.is_symlink()
    assert "classify" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert Path("/dev/null").is_char_device()


def test_a_snapshot_that_is_mounted_on_its_own(
    make: Make, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The snapshot is written in place."""
    path = tmp_path / "snapshot"
    path.write_text("old" * 10_000)
    mount(monkeypatch, "snapshot")
    server.answers = [answer(classify="a")]
    cache = make(snapshot=path)
    with pytest.warns(UserWarning, match="snapshot cannot be replaced"), cache:
        cache.get()
    assert json.loads(path.read_text())["prompts"][0]["content"] == "a"
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot"]


def test_a_snapshot_in_a_read_only_directory(
    make: Make, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a read-only directory, a writable snapshot that exists, such as a mounted one, is written in place."""
    path, access = tmp_path / "snapshot", os.access
    path.write_text("old" * 10_000)
    inode = path.stat().st_ino
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path and access(path, mode))  # for root, too
    server.answers = [answer(classify="a")]
    with make(snapshot=path) as cache:
        cache.get()
        cache.settle()
    assert json.loads(path.read_text())["prompts"][0]["content"] == "a"
    assert path.stat().st_ino == inode
