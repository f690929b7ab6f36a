"""Measure whether neighbours stay neighbours, and share a class, in the spaces of a study."""

from pathlib import Path

from matlas.evaluate.neighbourhoods import neighbourhoods
from matlas.evaluate.records import tests_frame
from matlas.jobs import run
from matlas.retrieval import join_views
from matlas.tables import read_keyed, table_info, write_table
from schemas.tables.learning import TESTS


def main(job):
    study, params, dataset, test = job.wildcards.study, job.params, job.input.dataset, job.params.test
    key, files = table_info(dataset).key_field.name, {Path(file).stem: file for file in job.input.views}
    spaces = {(a["view"], a["representation"]): z.filter(like="z_") for a, z in map(read_keyed, job.input.spaces)}
    references = {
        view: join_views(dataset, [files[s] for s in made["stored"]], columns=made["columns"]).set_index(key)
        for view, made in params.views.items()
    }
    labels, group = read_keyed(dataset, test["labels"])[1], params.resampled_by
    for described in (*spaces.values(), *references.values()):  # a view may leave entities out
        labels = labels[labels.index.isin(described.index)]
    groups = read_keyed(dataset, [group])[1][group] if group else None
    records = neighbourhoods(
        spaces, references, labels, groups, k=test["k"], rows=test["rows"], seed=params.seed
    )  # fmt: skip
    table = tests_frame(study, table_info(dataset).name, records)
    write_table(table, job.output[0], TESTS, lineage=job.lineage, attributes={"study": study})


if __name__ == "__main__":
    run(main, snakemake)
