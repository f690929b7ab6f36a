"""Look for outliers that were planted in the views of a study."""

from matlas.evaluate.inspection import inspections
from matlas.images.alterations import ARTEFACTS
from matlas.jobs import run
from matlas.tables import read_keyed, write_table
from schemas.tables.analysis import INSPECTIONS


def main(job):
    study = job.wildcards.study
    searches = [
        (inspection, spec, *read_keyed(features), read_keyed(altered)[1])
        for (_, inspection, spec), features, altered in zip(
            job.params.inspections, job.input.features, job.input.altered, strict=True
        )
    ]
    found = inspections(study, searches, list(ARTEFACTS))
    write_table(found, job.output[0], INSPECTIONS, lineage=job.lineage, attributes={"study": study})


if __name__ == "__main__":
    run(main, snakemake)
