"""Embed the images of a dataset, and altered copies of some of them, by a frozen network; one view a stage."""

from pathlib import Path

from matlas.device import choose_device
from matlas.features.network import network_features
from matlas.jobs import run
from matlas.networks.weights import load_network
from matlas.tables import read_table, table_info, write_table
from schemas.tables.features import altered_schema, feature_schema


def main(job):
    key, spec = table_info(job.input.dataset).key_field, job.params.spec
    images = read_table(job.input.dataset, [key.name])[key.name]
    network = load_network(Path(job.input.weights), spec["format"])
    stages, job.notes["images_per_s"] = network_features(
        Path(job.input.images), images, job.params.white_level, network, job.params.source,
        device=choose_device(job.params.runtime["device"]), batch_size=spec["batch_size"],
    )  # fmt: skip
    for made, features, altered in zip(stages, job.output.features, job.output.altered, strict=True):
        view = Path(features).stem
        attributes = {"dataset": job.wildcards.dataset, "view": view, **made.about}
        about = {"lineage": job.lineage, "attributes": attributes}
        write_table(made.features, features, feature_schema(view, key, made.fields), **about)
        write_table(made.altered, altered, altered_schema(view, key, made.fields), **about)


if __name__ == "__main__":
    run(main, snakemake)
