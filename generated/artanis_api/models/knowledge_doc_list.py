from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.knowledge_doc import KnowledgeDoc


T = TypeVar("T", bound="KnowledgeDocList")


@_attrs_define
class KnowledgeDocList:
    """The knowledge docs of a project. PROVISIONAL."""

    knowledge_docs: list[KnowledgeDoc]
    """ The documents (provisional). """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        knowledge_docs = []
        for knowledge_docs_item_data in self.knowledge_docs:
            knowledge_docs_item = knowledge_docs_item_data.to_dict()
            knowledge_docs.append(knowledge_docs_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "knowledgeDocs": knowledge_docs,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.knowledge_doc import KnowledgeDoc  # noqa: PLC0415

        d = dict(src_dict)
        knowledge_docs = []
        _knowledge_docs = d.pop("knowledgeDocs")
        for knowledge_docs_item_data in _knowledge_docs:
            knowledge_docs_item = KnowledgeDoc.from_dict(knowledge_docs_item_data)

            knowledge_docs.append(knowledge_docs_item)

        knowledge_doc_list = cls(
            knowledge_docs=knowledge_docs,
        )

        knowledge_doc_list.additional_properties = d
        return knowledge_doc_list

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
