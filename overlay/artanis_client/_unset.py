"""`UNSET`, the value of an optional field that the API left out, made fit for printing, pickling and copying."""

import copyreg

from artanis_api.types import UNSET, Unset

Unset.__repr__ = lambda _: "UNSET"  # type: ignore[method-assign]
copyreg.pickle(Unset, lambda _: "UNSET")  # as the global of this name

__all__ = ["UNSET", "Unset"]
