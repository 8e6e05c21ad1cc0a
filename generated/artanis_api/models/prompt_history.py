from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.prompt_version import PromptVersion


T = TypeVar("T", bound="PromptHistory")


@_attrs_define
class PromptHistory:
    """A prompt with every version of it."""

    id: str
    """ Id of the prompt, a UUID; the same for all its versions. """
    step_id: str
    """ Name of the pipeline step that the prompt belongs to, such as `classify`. """
    output_schema: Any
    """ A free-form JSON object, or null. """
    versions: list[PromptVersion]
    """ Every version, active and inactive, oldest first; exactly one is active. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        step_id = self.step_id

        output_schema = self.output_schema

        versions = []
        for versions_item_data in self.versions:
            versions_item = versions_item_data.to_dict()
            versions.append(versions_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "stepId": step_id,
                "outputSchema": output_schema,
                "versions": versions,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.prompt_version import PromptVersion  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        step_id = d.pop("stepId")

        output_schema = d.pop("outputSchema")

        versions = []
        _versions = d.pop("versions")
        for versions_item_data in _versions:
            versions_item = PromptVersion.from_dict(versions_item_data)

            versions.append(versions_item)

        prompt_history = cls(
            id=id,
            step_id=step_id,
            output_schema=output_schema,
            versions=versions,
        )

        prompt_history.additional_properties = d
        return prompt_history

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
