"""A local copy of the documented Artanis API that serves made-up data on 127.0.0.1. Needs the extra `sandbox`.

In Python: `with Sandbox() as sandbox:`. As a program: `python -m artanis_client.sandbox`. In pytest:
`pytest_plugins = ["artanis_client.sandbox.pytest_plugin"]` and the fixture `artanis_sandbox`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._drift import DRIFTS
    from ._sandbox import Credentials, Sandbox
    from ._sandbox import serve as serve

__all__ = ["DRIFTS", "Credentials", "Sandbox"]

if not TYPE_CHECKING:  # a type checker that saw __getattr__ would accept any name

    def __getattr__(name: str) -> object:
        """Import the modules when a name is first used, so that the programs can report a missing extra in one line."""
        if name not in {*__all__, "serve"}:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            from . import _drift, _sandbox
        except ImportError as error:
            raise ImportError("the sandbox needs an extra: pip install 'artanis-client[sandbox]'") from error
        return getattr(_drift if name == "DRIFTS" else _sandbox, name)
