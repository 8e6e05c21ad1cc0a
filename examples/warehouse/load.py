"""Load an Artanis project into a warehouse; later runs load only what is new.

python load.py --project my-project
"""

import argparse
import gc
import hashlib
import re
import shutil
import sys
from pathlib import Path

import dlt
from dlt.common.pipeline import LoadInfo
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed

from artanis_client import ArtanisError
from artanis_source import artanis


def load(pipeline: dlt.Pipeline, source: DltSource, *, full_refresh: bool = False) -> LoadInfo | None:
    """Load what is new, and return dlt's summary of the load.

    Args:
        pipeline: The pipeline to load with.
        source: The source that `artanis` returned.
        full_refresh: Drop the tables and load everything again.
    """
    if clean_up(pipeline):  # a run was interrupted: `run` would only finish it, and ignore the source
        if full_refresh:
            pipeline.abort_packages()
        else:
            pipeline.run()
    thresholds = gc.get_threshold()
    gc.set_threshold(20_000, *thresholds[1:])  # rows have no cycles, and looking for them takes 10% of the time
    try:
        return pipeline.run(source, refresh="drop_sources") if full_refresh else pipeline.run(source)
    finally:
        gc.set_threshold(*thresholds)


def clean_up(pipeline: dlt.Pipeline) -> bool:
    """Repair the working folder if a run was killed, and return whether it has data that is not loaded yet.

    If dlt is killed while it deletes something in the folder, all later runs fail.
    """
    folder = Path(pipeline.working_dir)
    try:
        extracted, normalized = pipeline.list_extracted_load_packages(), pipeline.list_normalized_load_packages()
        is_whole = pipeline.default_schema_name in (None, *pipeline.schemas)
    except FileNotFoundError:
        is_whole = False
    if not is_whole:  # dlt was deleting all of it, which it does while the destination is empty
        pipeline.drop()
        return False
    for load_id in extracted:
        if load_id in normalized:  # dlt was deleting what it had just normalized: dlt-hub/dlt#4446
            shutil.rmtree(folder / "normalize" / "extracted" / load_id)
    for load_id in normalized:
        package = folder / "load" / "normalized" / load_id
        if (package / "package_completed.json").exists():  # dlt was about to move what it had just loaded
            package.rename(folder / "load" / "loaded" / load_id)
    return pipeline.has_pending_data


def dataset_name(project: str) -> str:
    """Return a dataset name that no other project slug has: `artanis_my_project` for `my-project`.

    A slug of anything but lower-case ASCII letters, digits and single hyphens gets a suffix.
    """
    name = "_".join(["artanis", *re.findall("[a-z0-9]+", project.lower())])
    is_plain = re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", project)
    return name if is_plain else f"{name}_{hashlib.sha256(project.encode()).hexdigest()[:8]}"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", required=True, help="slug of the project")
    parser.add_argument("--dataset", help="dataset (schema) for the tables (default: artanis_<project>)")
    parser.add_argument("--profile", help="section of the client's configuration file to use")
    parser.add_argument(
        "--destination",
        default="duckdb",
        help="a dlt destination, such as bigquery or snowflake (default: duckdb)",
    )
    parser.add_argument(
        "--file-format", choices=["jsonl", "parquet", "insert_values"], help="default: the best one for the destination"
    )
    parser.add_argument("--full-refresh", action="store_true", help="drop the tables and load everything again")
    arguments = parser.parse_args()
    name = arguments.dataset or dataset_name(arguments.project)
    # dlt names the DuckDB file after the pipeline; the prefix is needed because file and dataset names must differ.
    pipeline = dlt.pipeline(f"load_{name}", destination=arguments.destination, dataset_name=name)
    try:
        # "" instead of None: dlt would replace None with a configuration value of that name, such as PROFILE.
        source = artanis(arguments.project, arguments.profile or "", file_format=arguments.file_format)
    except ValueError as error:
        parser.error(str(error))
    try:
        info = load(pipeline, source, full_refresh=arguments.full_refresh)
    except PipelineStepFailed as error:
        if reason := artanis_error(error):
            sys.exit(f"Reading failed; nothing from this run was loaded. {reason}")
        raise
    print(info if info and info.loads_ids else "Nothing new to load.")


def artanis_error(error: BaseException | None) -> ArtanisError | None:
    """Find the client's error in the chain of exceptions that dlt raises."""
    if error is None or isinstance(error, ArtanisError):
        return error
    return artanis_error(error.__cause__ or error.__context__)


if __name__ == "__main__":
    main()
