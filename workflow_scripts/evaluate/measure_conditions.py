"""Measure how far the clusters of a study split on conditions of the measurement."""

from matlas.evaluate.conditions import conditions
from matlas.jobs import run
from matlas.tables import read_keyed, write_table
from schemas.tables.analysis import CONDITIONS


def main(job):
    study, evaluation = job.wildcards.study, job.params.evaluation
    label = evaluation["label"]
    columns = read_keyed(job.input.dataset[0], [*evaluation["conditions"], *([label] if label else [])])[1]
    truth = columns.pop(label) if label else None
    measured = conditions(study, [read_keyed(path) for path in job.input.reruns], columns, truth)
    write_table(measured, job.output[0], CONDITIONS, lineage=job.lineage, attributes={"study": study})


if __name__ == "__main__":
    run(main, snakemake)
