"""Make a simulation again at other doses, and measure what is found of it."""

from pathlib import Path

from matlas.evaluate.noise import noise_records
from matlas.evaluate.records import tests_frame
from matlas.jobs import run
from matlas.tables import table_info, write_table
from schemas.config.datasets import CubeDataset
from schemas.tables.learning import TESTS


def main(job):
    study, params = job.wildcards.study, job.params
    records = noise_records(
        params.simulation, CubeDataset(**params.cube), Path(params.file).name, params.test, params.views,
        params.representations, params.clusterings, params.unmixings,
    )  # fmt: skip
    table = tests_frame(study, table_info(job.input.dataset).name, records)
    write_table(table, job.output[0], TESTS, lineage=job.lineage, attributes={"study": study})


if __name__ == "__main__":
    run(main, snakemake)
