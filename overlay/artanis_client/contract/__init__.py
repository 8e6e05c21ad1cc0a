"""Does the live API still do what `openapi.yaml` says? `python -m artanis_client.contract`, or `check()`.

Needs the extra `contract`. Every operation of the contract is called, read-only; ids are followed from lists to
details; each answer is compared with the contract of this version of the package: status, content type, schema.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._check import Finding, OperationReport, Report, check

__all__ = ["Finding", "OperationReport", "Report", "check"]

if not TYPE_CHECKING:  # a type checker that saw __getattr__ would believe that the package has every name

    def __getattr__(name: str) -> object:
        # Not at the top: the program says in its own words, and with its own exit status, that the extra is missing.
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            from . import _check
        except ImportError as error:
            raise ImportError(
                f"the contract check needs an extra ({error}): pip install 'artanis-client[contract]'"
            ) from error
        return getattr(_check, name)
