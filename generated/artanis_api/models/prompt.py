from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Prompt")


@_attrs_define
class Prompt:
    """The active version of the prompt of one pipeline step."""

    id: str
    """ Id of the prompt, a UUID; the same for all its versions. """
    step_id: str
    """ Name of the pipeline step that the prompt belongs to, such as `classify`. """
    content: str
    """ Text of the active version. """
    output_schema: Any
    """ A free-form JSON object, or null. """
    created_at: datetime.datetime
    """ When the prompt was created, in UTC. """
    updated_at: datetime.datetime
    """ When the prompt was last changed, in UTC. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        step_id = self.step_id

        content = self.content

        output_schema = self.output_schema

        created_at = self.created_at.isoformat()

        updated_at = self.updated_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "stepId": step_id,
                "content": content,
                "outputSchema": output_schema,
                "createdAt": created_at,
                "updatedAt": updated_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        step_id = d.pop("stepId")

        content = d.pop("content")

        output_schema = d.pop("outputSchema")

        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        updated_at = datetime.datetime.fromisoformat(d.pop("updatedAt"))

        prompt = cls(
            id=id,
            step_id=step_id,
            content=content,
            output_schema=output_schema,
            created_at=created_at,
            updated_at=updated_at,
        )

        prompt.additional_properties = d
        return prompt

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
