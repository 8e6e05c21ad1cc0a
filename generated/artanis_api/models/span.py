from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Span")


@_attrs_define
class Span:
    """One step of a run, and what a human reviewer made of its output."""

    id: str
    """ Id of the span, a UUID. """
    parent_span_id: None | str
    """ Id of the span that this one is part of; null for the root. """
    step_id: str
    """ Name of the pipeline step, such as `classify`. """
    input_: Any
    """ What the step was given, any JSON. """
    output: Any
    """ What the step returned, any JSON. """
    approved_output: Any
    """ The output that a human reviewer validated, any JSON. Null: not reviewed yet. Equal to `output` (as JSON):
    accepted as it was. Different from `output`: corrected by the reviewer. """
    metadata: Any
    """ A free-form JSON object, or null. """
    created_at: datetime.datetime
    """ When the step ran, in UTC. """
    prompt_version_id: None | str | Unset = UNSET
    """ Id of the prompt version that the step used. A step without a prompt may have none. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        parent_span_id: None | str
        parent_span_id = self.parent_span_id

        step_id = self.step_id

        input_ = self.input_

        output = self.output

        approved_output = self.approved_output

        metadata = self.metadata

        created_at = self.created_at.isoformat()

        prompt_version_id: None | str | Unset
        if isinstance(self.prompt_version_id, Unset):
            prompt_version_id = UNSET
        else:
            prompt_version_id = self.prompt_version_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "parentSpanId": parent_span_id,
                "stepId": step_id,
                "input": input_,
                "output": output,
                "approvedOutput": approved_output,
                "metadata": metadata,
                "createdAt": created_at,
            }
        )
        if prompt_version_id is not UNSET:
            field_dict["promptVersionId"] = prompt_version_id

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        def _parse_parent_span_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        parent_span_id = _parse_parent_span_id(d.pop("parentSpanId"))

        step_id = d.pop("stepId")

        input_ = d.pop("input")

        output = d.pop("output")

        approved_output = d.pop("approvedOutput")

        metadata = d.pop("metadata")

        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        def _parse_prompt_version_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        prompt_version_id = _parse_prompt_version_id(d.pop("promptVersionId", UNSET))

        span = cls(
            id=id,
            parent_span_id=parent_span_id,
            step_id=step_id,
            input_=input_,
            output=output,
            approved_output=approved_output,
            metadata=metadata,
            created_at=created_at,
            prompt_version_id=prompt_version_id,
        )

        span.additional_properties = d
        return span

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
