"""Audit the embedding of a study for shortcuts and blind spots."""

from matlas.evaluate.audits.study import audit
from matlas.evaluate.records import tests_frame
from matlas.jobs import run
from matlas.retrieval import join_views
from matlas.tables import read_keyed, read_table, table_info, write_table
from schemas.tables.learning import TESTS


def main(job):
    study, params, dataset = job.wildcards.study, job.params, job.input.dataset
    key = table_info(dataset).key_field.name
    features = join_views(dataset, job.input.views).set_index(key)
    raw = join_views(dataset, job.input.raw_views).set_index(key) if params.selected else None
    records = audit(
        features, read_table(job.input.split[0]), read_keyed(dataset)[1], params.encoder, params.test,
        raw=raw, selected=params.selected, resampled_by=params.resampled_by, seed=params.runtime["seed"],
        device=params.runtime["device"],
    )  # fmt: skip
    table = tests_frame(study, table_info(dataset).name, records)
    write_table(table, job.output[0], TESTS, lineage=job.lineage, attributes={"study": study})


if __name__ == "__main__":
    run(main, snakemake)
