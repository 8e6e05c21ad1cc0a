from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Feedback")


@_attrs_define
class Feedback:
    """A reviewer's free-text comment on one span."""

    id: str
    """ Id of the comment, a UUID. """
    span_id: str
    """ Id of the span that the comment is on. """
    user_id: str
    """ Id of the reviewer, a UUID. """
    content: str
    """ The comment. """
    created_at: datetime.datetime
    """ When the comment was made, in UTC; usually later than the trace's `updatedAt`. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        span_id = self.span_id

        user_id = self.user_id

        content = self.content

        created_at = self.created_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "spanId": span_id,
                "userId": user_id,
                "content": content,
                "createdAt": created_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        span_id = d.pop("spanId")

        user_id = d.pop("userId")

        content = d.pop("content")

        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        feedback = cls(
            id=id,
            span_id=span_id,
            user_id=user_id,
            content=content,
            created_at=created_at,
        )

        feedback.additional_properties = d
        return feedback

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
