"""Choose the columns of a selected view by the training rows of its split."""

from matlas.features.selected import select
from matlas.jobs import run
from matlas.retrieval import join_views
from matlas.tables import read_table, table_info, write_table
from schemas.tables.features import feature_schema
from schemas.tables.learning import SELECTION


def main(job):
    base, spec, view = table_info(job.input.dataset), job.params.spec, job.wildcards.view
    features = join_views(job.input.dataset, job.input.views).set_index(base.key_field.name)
    chosen, selection = select(features, read_table(job.input.split[0]), spec)
    fields = {f.name: f for path in job.input.views for f in table_info(path).fields}
    attributes = {"dataset": job.wildcards.dataset, "view": view, "left_out": str(base.rows - len(features))}
    about = {"lineage": job.lineage, "attributes": attributes}
    schema = feature_schema(view, base.key_field, [fields[name] for name in chosen.columns])
    write_table(chosen.reset_index(), job.output.features, schema, **about)
    write_table(selection, job.output.selection, SELECTION, **about)


if __name__ == "__main__":
    run(main, snakemake)
