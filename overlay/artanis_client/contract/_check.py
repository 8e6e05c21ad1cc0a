"""The check: plan requests, send them, and compare the responses with the contract."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module

from .._client import Artanis, credentials_of, project_of
from .._version import __version__
from ._contract import load_contract, operations_of
from ._report import Report
from ._requests import Run, plan_lists, plan_rest


def check(client: Artanis, *, max_requests: int = 50, show_values: bool = False) -> Report:
    """Call every operation of the contract that only reads, and compare the responses with the contract.

    An operation with an id in its path takes ids from the list above it. Each operation is also called once in the way
    that has a documented error: a list without a project, a detail with an id that does not exist.

    Args:
        client: The client to send the requests with, and whose project to read.
        max_requests: The most requests to send, retries included. Only a request that is sent again with a renewed API
            key may exceed it, by one.
        show_values: Put real values into `Finding.sample`, instead of only their form.

    Returns:
        The report, which has a verdict and findings for each operation.

    Raises:
        ValueError: If the client has no project, or if `max_requests` is less than 1.
        NotFoundError: If every list returns 404: the API knows no such project.
        CredentialsError: If the API key cannot be read.
        AuthenticationError: If the API refuses the key.
        PermissionDeniedError: If the project does not belong to the organization.
        APIConnectionError: If the API cannot be reached. If the connection fails later, `Report.problem` says so.
        ImportError: If the extra `contract` is not installed.
    """
    require_extra()
    from ._compare import report_on

    if max_requests < 1:
        raise ValueError(f"max_requests must be at least 1, not {max_requests}.")
    [(kind, project)] = project_of(client).items()
    credentials, started, document = credentials_of(client), datetime.now(UTC), load_contract()
    operations = list(operations_of(document))

    run = Run(client, max_requests)
    lists = plan_lists(operations, {"projectSlug" if kind == "project_slug" else "projectId": project})
    run.send(lists)
    documented = [request for request in lists if not request.operation.is_provisional]
    if {request.status for request in documented} == {404} and documented[0].error:
        raise documented[0].error
    rest = plan_rest(operations, lists, max_requests)
    run.send(rest)
    return Report(
        contract=document["info"]["version"],
        client=__version__,
        base_url=credentials.base_url,
        org_slug=credentials.org_slug,
        project=project,
        checked_at=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        requests=run.sent,
        problem=run.problem,
        operations=[report_on(operation, [*lists, *rest], run.stopped, show_values) for operation in operations],
    )


def require_extra() -> None:
    """Raise an ImportError that says what to install if the extra `contract` is not installed."""
    try:
        for module in ("jsonschema", "yaml"):
            import_module(module)
    except ImportError as error:
        raise ImportError(
            f"The contract check needs jsonschema and pyyaml ({error}). Run: pip install 'artanis-client[contract]'"
        ) from error
