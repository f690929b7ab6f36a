"""Look for holes in what the autoencoders of a study believe to be materials."""

from pathlib import Path

from matlas.autoencoders.card import CARD, load_model
from matlas.evaluate.manifold import manifold
from matlas.evaluate.records import tests_frame
from matlas.jobs import run
from matlas.retrieval import join_views
from matlas.tables import read_keyed, read_table, table_info, write_table
from schemas.tables.learning import TESTS


def main(job):
    study, params, dataset = job.wildcards.study, job.params, job.input.dataset
    features = join_views(dataset, job.input.views).set_index(table_info(dataset).key_field.name)
    folders = [Path(file).parent for file in job.input.models if Path(file).name == CARD]
    encoders = {folder.name: load_model(folder, params.runtime["device"]) for folder in folders}
    parts = read_table(job.input.split[0])
    group = params.resampled_by
    groups = read_keyed(dataset, [group])[1][group] if group else None
    records = manifold(features, parts, encoders, params.test, groups=groups, seed=params.runtime["seed"])
    table = tests_frame(study, table_info(dataset).name, records)
    write_table(table, job.output[0], TESTS, lineage=job.lineage, attributes={"study": study})


if __name__ == "__main__":
    run(main, snakemake)
