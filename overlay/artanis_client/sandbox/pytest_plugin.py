"""The fixture `artanis_sandbox`, for suites that say `pytest_plugins = ["artanis_client.sandbox.pytest_plugin"]`."""

from collections.abc import Iterator

import pytest

from . import Sandbox


@pytest.fixture(scope="session")
def artanis_sandbox() -> Iterator[Sandbox]:
    """A running sandbox with the default data, one for the whole session: a test that changes one makes its own."""
    with Sandbox() as sandbox:
        yield sandbox
