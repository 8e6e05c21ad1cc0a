"""The requests of a check: first a list of what to send, then a run that sends it and notes what comes back."""

from __future__ import annotations

import functools
import itertools
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from .._arguments import is_id
from .._client import Artanis
from .._errors import APIConnectionError, APIResponseValidationError, APIStatusError
from .._secret import Secret
from ._contract import Operation


class NotJSON(str):
    """The text of a body that is not JSON."""


@attrs.define(eq=False)
class Request:
    """One request to make, and then what came back."""

    operation: Operation
    path: str
    query: Mapping[str, str] = {}
    expects_error: bool = False
    """Whether the operation is called in the way that has a documented error."""
    status: int = 0
    """The status of the response; 0 if there is none."""
    media_type: str = ""
    link: str = ""
    """The header `Link`."""
    body: Any = None
    """Parsed JSON, or `NotJSON`."""
    asked: str = ""
    """The id in the path; empty if there is none, or one that does not exist."""
    broken: str = ""
    """Why the body could not be read."""
    error: APIStatusError | None = None
    """What the client made of a status other than 2xx."""

    @property
    def is_success(self) -> bool:
        """Whether the status is a 2xx."""
        return self.status // 100 == 2

    @property
    def is_unavailable(self) -> bool:
        """Whether the status says nothing about the contract, because the server is down or busy."""
        return self.status // 100 == 5 or self.status in (408, 429)

    @property
    def is_crash(self) -> bool:
        """Whether the server crashed where it should have refused the request."""
        return self.expects_error and self.status == 500


def plan_lists(operations: Iterable[Operation], project: Mapping[str, str]) -> list[Request]:
    """Plan a call of every list of the project."""
    return [Request(each, each.path, project) for each in operations if each.is_list and not each.obstacle]


def plan_rest(operations: Iterable[Operation], lists: Iterable[Request], limit: int) -> list[Request]:
    """Plan everything else, most informative first: one detail of each kind, then the errors, then more details."""
    columns: list[list[Request]] = []
    for operation in operations:
        ids = [] if operation.is_list or operation.obstacle else list(_ids_for(operation, lists))
        if ids:
            count = min(len(ids), limit)
            chosen = [ids[nth * len(ids) // count] for nth in range(count)]  # spread evenly
            details = [Request(operation, operation.path_to(id_), asked=id_) for id_ in chosen]
            error = Request(operation, operation.path_to(str(uuid.uuid4())), expects_error=True)
            columns.append([details[0], error, *details[1:]])
    columns += [[Request(each.operation, each.path, expects_error=True)] for each in lists]
    return [request for row in itertools.zip_longest(*columns) for request in row if request]


def _ids_for(operation: Operation, lists: Iterable[Request]) -> Iterator[str]:
    """Find the ids that the list above a detail operation returned."""
    for request in lists:
        body: Any = request.body
        if not request.is_success or request.path != operation.path.partition("/{")[0]:
            continue
        # Any list will do: details are worth checking even if the key around the list has changed.
        for items in body.values() if body.__class__ is dict else [body]:
            for item in items if items.__class__ is list else ():
                id_: Any = item.get("id") if item.__class__ is dict else None
                if id_.__class__ is str and is_id(id_):
                    yield id_


class Run:
    """Sends planned requests until the limit is reached or the connection fails."""

    def __init__(self, client: Artanis, max_requests: int) -> None:
        self.sent = 0
        """How many requests were sent, retries included."""
        self.stopped = ""
        """Why no more requests are sent; empty until then."""
        self.problem = ""
        """How the network or the server failed; empty if it did not."""
        self._client = client
        self._max_requests = max_requests
        self._answered: list[Request] = []

    def send(self, plan: Iterable[Request]) -> None:
        """Send the requests of a plan in their order, and note in each of them what comes back."""
        for request in plan:
            if self.sent >= self._max_requests:
                self.stopped = self.stopped or "the request limit was reached"
            if self.stopped:
                break
            try:
                self._send(request)
            except APIConnectionError as error:
                if not self._answered:
                    raise
                self.problem, self.stopped = str(error), "the connection failed"
                break
            self._answered.append(request)
            if request.is_unavailable and not request.expects_error:
                self.problem = f"{request.operation.id} returned {request.status}"

    def _send(self, planned: Request) -> None:
        http: Any = self._client.api.get_httpx_client()
        retries = min(http.max_retries, self._max_requests - self.sent - 1)
        http = self._client.with_options(max_retries=retries).api.get_httpx_client()
        request = http.build_request("GET", planned.path, params=planned.query)
        keys = request.extensions.setdefault("artanis_keys", [])  # Http adds the key each time it sends the request
        try:
            response = http.send(request)
            status, headers, body = response.status_code, response.headers, _parsed(response, keys)
        except (APIResponseValidationError, APIStatusError) as error:
            if error.status_code in (401, 403) and not any(answered.is_success for answered in self._answered):
                raise
            status, headers, body = error.status_code, getattr(error, "headers", {}), error.body
            body = NotJSON(body) if isinstance(body, str) else body
            if isinstance(error, APIStatusError):
                planned.error = error
            else:
                planned.broken = error.problem
        finally:
            self.sent += len(keys)
        planned.status, planned.body, planned.link = status, body, headers.get("link", "")
        planned.media_type = headers.get("content-type", "").partition(";")[0].strip().lower()


def _parsed(response: Any, keys: Iterable[Secret]) -> Any:
    """Parse a body, from which the API key is removed in case the server has sent it back."""
    try:
        parsed = json.loads(response.content, parse_constant=_refuse)
        text = json.dumps(parsed, ensure_ascii=False)  # \u0061 and the like would hide a key
        return json.loads(_redacted(text, keys))
    except (ValueError, RecursionError):
        return NotJSON(_redacted(response.text, keys))


def _refuse(constant: str) -> None:
    """Refuse NaN and Infinity, which Python reads although JSON lacks them."""
    raise ValueError(f"{constant} is not JSON")


def _redacted(text: str, keys: Iterable[Secret]) -> str:
    return functools.reduce(lambda text, key: key.redact(text), keys, text)
