"""Score every clustering of a study against classes that none of them has seen."""

from matlas.evaluate.external import scores
from matlas.jobs import run
from matlas.tables import read_keyed, write_table
from schemas.tables.analysis import CONTINGENCY, SCORES


def main(job):
    study, label = job.wildcards.study, job.params.evaluation["label"]
    truth = read_keyed(job.input.dataset[0], [label])[1][label]
    scored, contingency = scores(study, [read_keyed(path) for path in job.input.reruns], truth)
    about = {"lineage": job.lineage, "attributes": {"study": study}}
    write_table(scored, job.output.scores, SCORES, **about)
    write_table(contingency, job.output.contingency, CONTINGENCY, **about)


if __name__ == "__main__":
    run(main, snakemake)
