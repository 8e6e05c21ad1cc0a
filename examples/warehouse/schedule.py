"""A Dagster job that loads several projects, each in a separate task: one that fails does not stop the others.

pip install dagster; dagster job execute -f schedule.py -c projects.yaml

where projects.yaml says `ops: {projects: {config: {slugs: [support, sales]}}}`.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from dagster import Config, DynamicOut, DynamicOutput, Failure, job, op

from load import dataset_name


class Projects(Config):
    """The projects to load."""

    slugs: list[str]


@op(out=DynamicOut(str))
def projects(config: Projects) -> Iterator[DynamicOutput[str]]:
    """Start a task for each project."""
    for slug in config.slugs:
        yield DynamicOutput(slug, mapping_key=dataset_name(slug))


@op
def load_project(slug: str) -> None:
    """Load what is new in one project, with the key that load.py finds in the environment."""
    command = [sys.executable, str(Path(__file__).with_name("load.py")), "--project", slug]
    loading = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if loading.returncode:
        raise Failure(loading.stderr.strip())


@job
def load_artanis() -> None:
    """Load each project in a separate task."""
    projects().map(load_project)
