from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Trace")


@_attrs_define
class Trace:
    """One run of a project's pipeline."""

    id: str
    """ Id of the trace, a UUID. """
    status: str
    """ State of the run. `completed` is the only value that the documentation shows; no list of values is
    published, so expect others. """
    metadata: Any
    """ A free-form JSON object, or null. """
    created_at: datetime.datetime
    """ When the run started, in UTC. """
    updated_at: datetime.datetime
    """ When the run was last changed, in UTC. A review does NOT move it: in the documented sample the feedback is
    newer than this. It cannot be used to skip traces that may have been reviewed since. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        status = self.status

        metadata = self.metadata

        created_at = self.created_at.isoformat()

        updated_at = self.updated_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "status": status,
                "metadata": metadata,
                "createdAt": created_at,
                "updatedAt": updated_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        status = d.pop("status")

        metadata = d.pop("metadata")

        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        updated_at = datetime.datetime.fromisoformat(d.pop("updatedAt"))

        trace = cls(
            id=id,
            status=status,
            metadata=metadata,
            created_at=created_at,
            updated_at=updated_at,
        )

        trace.additional_properties = d
        return trace

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
