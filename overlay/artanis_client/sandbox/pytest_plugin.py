"""The fixture `artanis_sandbox`, for `pytest_plugins = ["artanis_client.sandbox.pytest_plugin"]`."""

from collections.abc import Iterator

import pytest

from . import Sandbox


@pytest.fixture(scope="session")
def artanis_sandbox() -> Iterator[Sandbox]:
    """Share a running sandbox with the default data for the whole session; a test that changes data makes its own."""
    with Sandbox() as sandbox:
        yield sandbox
