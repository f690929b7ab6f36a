"""Take the spectra of a view apart: endmembers, and their shares in each pixel."""

import numpy as np
from safetensors.numpy import save_file

from matlas.files import atomic_path
from matlas.jobs import run
from matlas.retrieval import rows_of_views
from matlas.rows import taken
from matlas.tables import read_table, table_info, write_table
from matlas.unmix.study import unmix
from matlas.unmix.tables import known_of, number_of, unmixings_frame
from schemas.tables.unmixing import UNMIXINGS, abundance_schema, endmember_schema


def main(job):
    spec, space = job.params.spec, dict(job.wildcards.items())
    features = rows_of_views(job.input.dataset, [job.input.features], columns=[])
    references = read_table(job.input.references)
    known = known_of(read_table(job.input.dataset).set_index(features.index.name).loc[features.index], references)
    endmembers = number_of(spec, job.input.counted)
    result = unmix(taken(features), spec, known, endmembers=endmembers, device=job.params.runtime["device"])
    view, name = table_info(job.input.features), space["unmixing"]
    about = {"lineage": job.lineage, "attributes": {**view.attributes, **space}}
    unit, first, step = (view.attributes[a] for a in ("signal_unit", "signal_offset", "signal_scale"))
    positions = float(first) + float(step) * np.arange(features.shape[1])
    write_table(result.endmembers_frame(positions), job.output.endmembers, endmember_schema(name, unit), **about)
    schema = abundance_schema(name, view.key_field, result.names)
    write_table(result.abundances_frame(features.index), job.output.abundances, schema, **about)
    write_table(unmixings_frame(space, result.records), job.output.scores, UNMIXINGS, **about)
    if result.weights is not None:
        with atomic_path(job.output.weights) as temporary:
            save_file({n: np.ascontiguousarray(w) for n, w in result.weights.items()}, temporary)


if __name__ == "__main__":
    run(main, snakemake)
