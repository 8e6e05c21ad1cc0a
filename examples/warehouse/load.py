"""Load an Artanis project into a warehouse, and the next time what is new in it.

python load.py --project my-project
"""

import argparse
import gc
import re
import sys

import dlt
from dlt.common.pipeline import LoadInfo
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed

from artanis_client import ArtanisError
from artanis_source import artanis


def load(pipeline: dlt.Pipeline, source: DltSource, *, full_refresh: bool = False) -> LoadInfo | None:
    """Load what is new; returns what dlt says of it.

    Args:
        pipeline: Where to.
        source: What `artanis` returned.
        full_refresh: Drop the tables and read everything anew.
    """
    if pipeline.has_pending_data:  # a run was killed: `run` would finish that, and not look at the source
        if full_refresh:
            pipeline.abort_packages()
        else:
            pipeline.run()
    thresholds = gc.get_threshold()
    gc.set_threshold(20_000, *thresholds[1:])  # rows have no cycles; looking for them takes a tenth of the time
    try:
        return pipeline.run(source, refresh="drop_sources") if full_refresh else pipeline.run(source)
    finally:
        gc.set_threshold(*thresholds)


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", required=True, help="slug of the project")
    parser.add_argument("--dataset", help="where the tables are; default: artanis_<project>")
    parser.add_argument("--profile", help="section of the client's configuration file")
    parser.add_argument(
        "--destination", default="duckdb", help="one of dlt's: duckdb, bigquery, snowflake, filesystem, …"
    )
    parser.add_argument(
        "--file-format", choices=["jsonl", "parquet", "insert_values"], help="default: what suits the destination"
    )
    parser.add_argument("--full-refresh", action="store_true", help="drop the tables and read everything anew")
    arguments = parser.parse_args()
    name = arguments.dataset or "artanis_" + re.sub(r"[^a-z0-9]+", "_", arguments.project.lower()).strip("_")
    # The pipeline names the file of a DuckDB, which may not have the name of the dataset in it.
    pipeline = dlt.pipeline(f"load_{name}", destination=arguments.destination, dataset_name=name)
    try:
        # Not None, in place of which dlt would take what it finds under such a name, such as PROFILE.
        source = artanis(arguments.project, arguments.profile or "", file_format=arguments.file_format)
    except ValueError as error:
        parser.error(str(error))
    try:
        info = load(pipeline, source, full_refresh=arguments.full_refresh)
    except PipelineStepFailed as error:
        if reason := artanis_error(error):
            sys.exit(f"Reading failed, and nothing of this run was loaded. {reason}")
        raise
    print(info if info and info.loads_ids else "Nothing is new.")


def artanis_error(error: BaseException | None) -> ArtanisError | None:
    """What the client said, of which dlt makes a chain of its own exceptions."""
    if error is None or isinstance(error, ArtanisError):
        return error
    return artanis_error(error.__cause__ or error.__context__)


if __name__ == "__main__":
    main()
