"""Train an autoencoder on the training rows of a split; encode every entity with it."""

from pathlib import Path

from matlas.autoencoders.card import save_model
from matlas.jobs import run
from matlas.lineage import digest
from matlas.metrics import metrics_frame
from matlas.retrieval import rows_of_views
from matlas.tables import read_table, table_info, write_table
from matlas.trained import rebuilt_sample, train_on
from schemas.tables.analysis import METRICS, representation_schema
from schemas.tables.learning import HISTORY, rebuilt_schema


def main(job):
    key, spec, space = table_info(job.input.dataset).key_field, job.params.spec, dict(job.wildcards.items())
    features = rows_of_views(job.input.dataset, job.input.views, columns=job.params.columns)
    checkpoint = Path(job.output.card).parents[4] / "checkpoints" / "-".join(space.values())
    encoder, made, part = train_on(
        features, read_table(job.input.split[0]), spec, device=job.params.runtime["device"], checkpoint=checkpoint
    )
    job.notes["device"] = encoder.device_
    made_of = {"views": job.params.definitions, "crystals": job.params.crystals}
    data = {**space, **made_of, "sample_data": job.lineage.simulated}
    origin = {"split": spec["split"], "lineage": digest(job.lineage.as_dict())}
    card = {"features": features.columns, "data": data, **origin}
    save_model(Path(job.output.card).parent, encoder, card)
    about, name = {"lineage": job.lineage, "attributes": space}, job.wildcards.representation
    schema = representation_schema(name, key, made.scores.shape[1])
    write_table(made.scores_frame(features.index), job.output.scores, schema, **about)
    write_table(encoder.history_[HISTORY.columns], job.output.history, HISTORY, **about)
    rebuilt = rebuilt_sample(encoder, features, part)
    write_table(rebuilt, job.output.rebuilt, rebuilt_schema(name, key), **about)
    write_table(metrics_frame(space, name, made.records), job.output.metrics, METRICS, **about)
    checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    run(main, snakemake)
