"""Train an encoder for each fold of a split; encode the fold with it."""

from matlas.jobs import run
from matlas.represent import coordinates
from matlas.retrieval import join_views
from matlas.tables import read_keyed, read_table, table_info, write_table
from matlas.trained import encode_folds
from schemas.tables.learning import encodings_schema


def main(job):
    key, group = table_info(job.input.dataset).key_field, job.params.resampled_by
    raw = join_views(job.input.dataset, job.input.views, columns=job.params.columns).set_index(key.name)
    groups = read_keyed(job.input.dataset, [group])[1][group]
    codes = encode_folds(
        raw, read_table(job.input.split), job.params.spec, selected=job.params.selected, groups=groups,
        device=job.params.runtime["device"],
    )  # fmt: skip
    width = coordinates(codes).shape[1]
    schema = encodings_schema(job.wildcards.representation, key, width)
    write_table(codes, job.output[0], schema, lineage=job.lineage, attributes=dict(job.wildcards.items()))


if __name__ == "__main__":
    run(main, snakemake)
