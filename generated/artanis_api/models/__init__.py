"""Contains all the data models used in inputs/outputs"""

from .error import Error
from .feedback import Feedback
from .knowledge_doc import KnowledgeDoc
from .knowledge_doc_history import KnowledgeDocHistory
from .knowledge_doc_list import KnowledgeDocList
from .knowledge_doc_version import KnowledgeDocVersion
from .prompt import Prompt
from .prompt_history import PromptHistory
from .prompt_list import PromptList
from .prompt_version import PromptVersion
from .span import Span
from .trace import Trace
from .trace_detail import TraceDetail
from .trace_list import TraceList

__all__ = (
    "Error",
    "Feedback",
    "KnowledgeDoc",
    "KnowledgeDocHistory",
    "KnowledgeDocList",
    "KnowledgeDocVersion",
    "Prompt",
    "PromptHistory",
    "PromptList",
    "PromptVersion",
    "Span",
    "Trace",
    "TraceDetail",
    "TraceList",
)
