"""A test suite against the sandbox: no account, no mock, no network.

    pip install 'artanis-client[sandbox]' pytest
    pytest test_with_sandbox.py

The code under test is `acceptance`, at the top. In a project, it would be in a module of yours, and `pytest_plugins` in
`conftest.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from artanis_client import Artanis, InternalServerError, Outcome, PermissionDeniedError, examples
from artanis_client.sandbox import Sandbox

pytest_plugins = ["artanis_client.sandbox.pytest_plugin"]


def acceptance(client: Artanis, step: str) -> float | None:
    """Return which share of the reviewed outputs of a step was accepted; None if none is reviewed."""
    outcomes = [example.outcome for trace in client.traces.iter() for example in examples(trace, steps=[step])]
    reviewed = [outcome for outcome in outcomes if outcome is not Outcome.UNREVIEWED]
    return reviewed.count(Outcome.ACCEPTED) / len(reviewed) if reviewed else None


@pytest.fixture
def client(artanis_sandbox: Sandbox) -> Iterator[Artanis]:
    with Artanis(**artanis_sandbox.credentials) as client:
        yield client


def test_share(client: Artanis) -> None:
    """Some outputs of the sandbox were accepted, and some were not."""
    share = acceptance(client, "classify")
    assert share is not None
    assert 0 < share < 1


def test_unknown_step(client: Artanis) -> None:
    """A step that never ran has no share."""
    assert acceptance(client, "no-such-step") is None


def test_new_review() -> None:
    """A review counts as soon as it has been made. The sandbox of this test starts without traces."""
    with Sandbox(traces=0) as sandbox, Artanis(**sandbox.credentials) as client:
        trace_id = sandbox.add_trace()
        assert acceptance(client, "classify") is None
        sandbox.review(trace_id)
        assert acceptance(client, "classify") in (0, 1)


def test_transient_faults() -> None:
    """One request in ten fails, and nobody notices."""
    with Sandbox(traces=20, fault_rate=0.1) as sandbox, Artanis(**sandbox.credentials, max_retries=9) as client:
        assert acceptance(client, "classify") is not None


def test_outage() -> None:
    """If the API is down, the error of the client reaches the caller."""
    with Sandbox() as sandbox, Artanis(**sandbox.credentials, max_retries=0) as client:
        sandbox.status = 503
        with pytest.raises(InternalServerError):
            acceptance(client, "classify")


def test_another_organization(artanis_sandbox: Sandbox) -> None:
    """Another organization cannot read the project."""
    credentials = artanis_sandbox.credentials
    credentials["org_slug"] = artanis_sandbox.other_org_slug
    with Artanis(**credentials) as client, pytest.raises(PermissionDeniedError):
        acceptance(client, "classify")
