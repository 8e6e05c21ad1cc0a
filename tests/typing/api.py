"""Never executed: type checkers read this, and fail when the types of the public calls change."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, assert_type

import httpx

from artanis_api import AuthenticatedClient
from artanis_api.api.knowledge_docs import get_knowledge_doc, list_knowledge_docs
from artanis_api.api.prompts import get_prompt, list_prompts
from artanis_api.api.traces import get_trace, list_traces
from artanis_client import (
    APIConnectionError,
    APIStatusError,
    Artanis,
    ArtanisError,
    AsyncArtanis,
    AsyncPromptCache,
    EvaluationExample,
    ExportReport,
    Outcome,
    Progress,
    PromptCache,
    PromptsStatus,
    PullReport,
    RateLimitError,
    Scorecard,
    ScorecardRow,
    ScorecardWeek,
    acall,
    aexport,
    aprompts_status,
    apull_prompts,
    call,
    diff_versions,
    examples,
    export,
    models,
    outcome,
    prompts_status,
    pull_prompts,
    scorecard,
    to_arrow,
)


def sync_calls(client: Artanis) -> None:
    assert_type(client.prompts.list(), list[models.Prompt])
    assert_type(client.prompts.list(project_slug="p"), list[models.Prompt])
    assert_type(client.prompts.get("id"), models.PromptHistory)
    assert_type(client.traces.list(since="2026-04", until=datetime.now()), list[models.Trace])
    assert_type(client.traces.ids(since="2026-04"), list[str])
    assert_type(client.traces.get("id"), models.TraceDetail)
    assert_type(client.traces.get("id").spans[0].created_at, datetime)
    assert_type(client.with_options(timeout=None, max_retries=0), Artanis)
    assert_type(client.api, AuthenticatedClient)


def generated_calls(client: Artanis) -> None:
    assert_type(call(list_prompts.sync_detailed, client=client.api, project_slug="p"), models.PromptList)
    assert_type(call(get_prompt.sync_detailed, "id", client=client.api), models.PromptHistory)
    assert_type(call(list_traces.sync_detailed, client=client.api), models.TraceList)
    assert_type(call(get_trace.sync_detailed, "id", client=client.api), models.TraceDetail)
    assert_type(call(list_knowledge_docs.sync_detailed, client=client.api), models.KnowledgeDocList)
    assert_type(call(get_knowledge_doc.sync_detailed, "id", client=client.api), models.KnowledgeDocHistory)
    call(get_prompt.sync_detailed, client=client.api)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    call(get_prompt.sync_detailed, 5, client=client.api)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def async_calls(client: AsyncArtanis) -> None:
    assert_type(await client.prompts.list(), list[models.Prompt])
    assert_type(await client.prompts.get("id"), models.PromptHistory)
    assert_type(await client.traces.list(until="2026-04"), list[models.Trace])
    assert_type(await client.traces.ids(until="2026-04"), list[str])
    assert_type(await client.traces.get("id"), models.TraceDetail)
    assert_type(await acall(list_prompts.asyncio_detailed, client=client.api), models.PromptList)
    assert_type(await acall(get_trace.asyncio_detailed, "id", client=client.api), models.TraceDetail)
    assert_type(client.with_options(max_retries=1), AsyncArtanis)
    async with client as same:
        assert_type(same, AsyncArtanis)


def construction(key: str, ask: Awaitable[str]) -> None:
    async def ask_async() -> str:
        return key

    Artanis()
    Artanis(api_key=key, org_slug="o", timeout=5, httpx_args={"verify": False})
    Artanis(api_key=lambda: key, timeout=httpx.Timeout(5), max_retries=0)
    AsyncArtanis(api_key=ask_async, timeout=None)
    Artanis(key)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Artanis(timeout="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with Artanis() as client:
        assert_type(client, Artanis)


def errors(status: APIStatusError, limit: RateLimitError, connection: APIConnectionError) -> None:
    assert_type(status.status_code, int)
    assert_type(status.message, str)
    assert_type(status.body, object)
    assert_type(status.headers, dict[str, str])
    assert_type(status.request_id, str | None)
    assert_type(limit.retry_after, float | None)
    assert_type(connection.method, str)
    assert_type(connection.url, str)


def free_json(span: models.Span) -> Any:
    assert_type(span.input_, Any)
    assert_type(span.approved_output, Any)
    assert_type(span.parent_span_id, str | None)
    return span.metadata.get("anything")


def evaluation(trace: models.TraceDetail) -> None:
    assert_type(outcome(trace.spans[0]), Outcome)
    assert_type(examples(trace), list[EvaluationExample])
    examples(trace, outcomes="corrected", steps="classify")
    examples(trace, outcomes={Outcome.ACCEPTED, Outcome.CORRECTED}, steps=["classify"])
    examples(trace, outcomes=["accepted"], steps=(step for step in "ab"))
    examples(trace, outcomes=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    example = examples(trace)[0]
    assert_type(example.prompt_version_id, str | None)
    assert_type(example.input, Any)
    assert_type(example.outcome, Outcome)
    assert_type(example.feedback, tuple[str, ...])
    assert_type(example.created_at, datetime)
    assert_type(example.to_dict(), dict[str, Any])
    assert_type(EvaluationExample.from_dict({}), EvaluationExample)
    example.output = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    assert_type(scorecard(one for one in [example]), Scorecard)
    assert_type(scorecard([])["versions"], list[ScorecardRow])
    assert_type(scorecard([])["weeks"], list[ScorecardWeek])
    assert_type(scorecard([])["weeks"][0]["acceptance_rate"], float | None)


async def prompts_beside_code(client: Artanis, async_client: AsyncArtanis, history: models.PromptHistory) -> None:
    assert_type(pull_prompts(client, "prompts", project_slug="p", force=True), PullReport)
    assert_type(await apull_prompts(async_client, Path("prompts"), project_id="p"), PullReport)
    assert_type(prompts_status(client, Path("prompts")).clean, bool)
    assert_type(await aprompts_status(async_client, "prompts"), PromptsStatus)
    assert_type(prompts_status(client, "prompts").edited, tuple[str, ...])
    assert_type(diff_versions(history, 0, new="active"), str)
    pull_prompts(async_client, "prompts")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def no_such_name() -> None:
    import artanis_client

    artanis_client.outcomes  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018


def bulk(client: Artanis, progress: Progress) -> None:
    assert_type(client.traces.iter(concurrency=4, on_error="skip", on_progress=print), Generator[models.TraceDetail])
    assert_type(export(client, "a.csv", outcomes="corrected", recheck="unreviewed").outcomes[Outcome.ACCEPTED], int)
    export(
        client, "a.jsonl", format=lambda made, prompt: made.to_dict() if prompt else None, where=lambda made: made.input
    )
    export(client, "a.parquet", format="parquet")
    assert_type(to_arrow(examples(client.traces.get("a"))).num_rows, int)
    assert_type(progress.error, ArtanisError | None)
    assert_type(client.traces.iter(trace_ids=("a", "b")), Generator[models.TraceDetail])
    client.traces.iter(on_error="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    export(client, "a.csv", format="xml")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def async_bulk(client: AsyncArtanis) -> None:
    async for detail in client.traces.iter(since="2026-04"):
        assert_type(detail, models.TraceDetail)
    assert_type(await aexport(client, "a.csv"), ExportReport)


async def prompt_caches(client: Artanis, async_client: AsyncArtanis) -> None:
    def told(old: models.Prompt | None, new: models.Prompt | None) -> None: ...

    with PromptCache(client, ttl=60, stale_for=3600, snapshot="file", fallback={"a": "b"}, on_change=told) as cache:
        assert_type(cache, PromptCache)
        assert_type(cache.get("classify"), models.Prompt)
        assert_type(cache.source("classify"), Literal["api", "stale", "snapshot", "fallback"])
        assert_type(cache.age("classify"), float | None)
    async with AsyncPromptCache(async_client, project_id="p") as async_cache:
        assert_type(await async_cache.get("classify"), models.Prompt)
    PromptCache(async_client)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    AsyncPromptCache(client)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
