"""Save the reviewed spans as a Hugging Face dataset with a training and a test split.

- datasets, "Dataset": https://huggingface.co/docs/datasets/package_reference/main_classes
- datasets, "Process", on saving and loading: https://huggingface.co/docs/datasets/process#save
"""

from __future__ import annotations

from datasets import Dataset, DatasetDict

from artanis_client import Artanis, EvaluationExample, examples, split, to_arrow

SHARES = {"train": 0.8, "test": 0.2}


def make_dataset(client: Artanis) -> DatasetDict:
    """Return the reviewed spans of the project. The spans of a trace are in the same split."""
    parts: dict[str, list[EvaluationExample]] = {name: [] for name in SHARES}
    for trace in client.traces.iter():
        for example in examples(trace, outcomes=["accepted", "corrected"]):
            parts[split(example, SHARES)].append(example)
    return DatasetDict({name: Dataset(to_arrow(part)) for name, part in parts.items()})


if __name__ == "__main__":
    with Artanis() as client:
        dataset = make_dataset(client)
    dataset.save_to_disk("reviewed")
    print(dataset)
