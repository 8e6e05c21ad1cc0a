"""Check whether the live API does what `openapi.yaml` says: `check(client)`, or `python -m artanis_client.contract`.

The check needs the extra `contract`. It calls every operation of the contract that only reads, follows ids from lists
to details, and compares each response with the contract of this version of the package: status, content type, schema.
"""

from ._check import check
from ._contract import contract_text, load_contract
from ._report import Finding, OperationReport, Report

__all__ = ["Finding", "OperationReport", "Report", "check", "contract_text", "load_contract"]
