"""The data dictionary: columns that more than one table or study uses, each defined once.

Columns of feature views are generated from their element tables (matlas/features), and columns that only one dataset
has are described in its definition (config/datasets.yaml or a study file); all of them end up in `registry.columns`.
"""

from __future__ import annotations

from schemas.table import Field

_ESTM = "Na & Chang 2022, 10.1038/s41524-022-00897-2"

FAMILIES = (
    "oxide", "chalcogenide", "halide", "pnictide", "carbide", "tetrelide", "boride", "hydride", "intermetallic",
    "element",
)  # fmt: skip

_ROW = "Number of the row in the source, counted from 1 below the header"

_ALL = (
    # keys and identities
    Field("row_id", "int64", "1", _ROW, minimum=1),
    Field("measurement_id", "int64", "1", _ROW, minimum=1),
    Field("composition", "string", "", "Chemical formula as the source writes it, without surrounding spaces"),
    Field("reduced_formula", "string", "", "Formula with the smallest integer amounts, by pymatgen"),
    Field("n_elements", "int64", "1", "Number of different elements", minimum=1, maximum=118),
    Field(
        "chemical_family", "string", "", "Class named after the most electronegative anion former that makes up at "
        "least 10 % of the atoms", citation="naming order: IUPAC Red Book 2005; the 10 % threshold is matlas's own",
        allowed=FAMILIES,
    ),
    Field("dominant_element", "string", "", "Element with the largest atomic fraction (ties: lower atomic number)"),
    Field("repeated", "bool", "", "An earlier row has the same values in the columns that identify a measurement"),
    # images
    Field("image_id", "string", "", "Path of the image's file below the folder of the dataset"),
    Field("label", "string", "", "Class that the source gives the entity; for evaluation only, never a feature",
          nullable=True),
    Field("width", "int64", "px", "Width of the image", minimum=1),
    Field("height", "int64", "px", "Height of the image", minimum=1),
    Field("bits", "int64", "1", "Bits a channel in the file", minimum=1),
    Field("channels", "int64", "1", "Colour channels in the file, without transparency", minimum=1, maximum=4),
    Field("conversion", "string", "", "What was done to make the image grey; empty for nothing"),
    Field("brightness", "float64", "1", "Mean grey value, 0 black to 1 white", minimum=0.0, maximum=1.0),
    Field("contrast", "float64", "1", "Standard deviation of the grey values", minimum=0.0, maximum=0.5),
    Field("sharpness", "float64", "1", "Variance of the Laplacian of the grey values",
          citation="Pech-Pacheco et al. 2000, 10.1109/ICPR.2000.903548", minimum=0.0),
    Field("sha256", "string", "", "SHA-256 of the file"),
    Field("similar_to", "string", "", "Earlier image that this one repeats; empty for none", nullable=True),
    Field("duplicate", "bool", "", "Has the same pixels as an earlier image"),
    Field("near_duplicate", "bool", "", "Is nearly the same picture as an earlier image"),
    Field("alteration", "string", "", "What was done to a copy of the image"),
    # thermoelectric transport
    Field("temperature", "float64", "K", "Absolute temperature of the measurement", minimum=0.0),
    Field("seebeck_coefficient", "float64", "µV/K", "Seebeck coefficient S", citation=_ESTM,
          label="Seebeck coefficient"),
    Field("electrical_conductivity", "float64", "S/m", "Electrical conductivity σ", citation=_ESTM, minimum=0.0),
    Field("thermal_conductivity", "float64", "W/(m K)", "Total thermal conductivity κ", citation=_ESTM, minimum=0.0),
    Field("power_factor", "float64", "W/(m K²)", "Power factor S²σ as published", citation=_ESTM, minimum=0.0),
    Field("zt", "float64", "1", "Figure of merit S²σT/κ as published", citation=_ESTM, minimum=0.0, label="ZT"),
    Field("reference", "string", "", "DOI of the article that a measurement was taken from", citation=_ESTM),
    # quarantine
    Field("row", "int64", "1", _ROW, minimum=1),
    Field("reason", "string", "", "Why the row was refused"),
    Field("column", "string", "", "Column of the source that is at fault"),
    Field("value", "string", "", "What stood there", nullable=True),
    Field("raw", "string", "", "The whole row as JSON"),
    # representations and clusterings
    Field("reconstruction_error", "float64", "1", "Mean squared error of the row rebuilt from its scores, in "
          "standardised units", minimum=0.0),
    Field("component", "int64", "1", "Number of the component, from 0", minimum=0),
    Field("feature", "string", "", "Column of the view"),
    Field("loading", "float64", "1", "Weight of the (standardised) feature in the component"),
    Field("cluster", "int64", "1", "Cluster label at the K with the largest silhouette; -1 is noise", minimum=-1),
    Field("distance", "float64", "1", "Euclidean distance to the centroid of the row's cluster (of noise: to the "
          "nearest centroid), in the clustered space", minimum=0.0, nullable=True),
    # evaluation
    Field("score", "float64", "1", "The score: ari, nmi (geometric mean) and purity against the classes; …_chance for "
          "the same labels in random order"),
    Field("entities", "int64", "1", "How many entities", minimum=0),
    Field("matched", "bool", "", "The cluster is the one that stands for the class in the best one-to-one matching",
          citation="Kuhn 1955"),
    Field("condition", "string", "", "Column of the dataset that clusters should not split on"),
    Field("effect_of_cluster", "float64", "1", "Share of the condition's variance that the clusters explain, adjusted "
          "for chance (epsilon squared)", citation="Kelley 1935", nullable=True, maximum=1.0),
    Field("effect_of_label", "float64", "1", "The same of the classes", nullable=True, maximum=1.0),
    Field("effect_within_label", "float64", "1", "The same of the clusters within the classes", nullable=True,
          maximum=1.0),
    Field("travel", "float64", "1", "Euclidean distance between an entity and its altered copy, in units of the view",
          minimum=0.0),
    Field("spread", "float64", "1", "Median distance between two entities of the same class (of all entities where "
          "there are no classes)", nullable=True, minimum=0.0),
    Field("ratio", "float64", "1", "Travel over spread", nullable=True, minimum=0.0),
    Field("inspection", "string", "", "Search for outliers as named in config/methods.yaml"),
    Field("order", "string", "", "What was inspected first"),
    Field("inspected", "int64", "1", "Entities inspected so far", minimum=1),
    Field("recall", "float64", "1", "Share of the planted outliers among those inspected", minimum=0.0, maximum=1.0),
    # metrics
    Field("study", "string", "", "Study, a file under config/studies"),
    Field("dataset", "string", "", "Dataset"),
    Field("view", "string", "", "Feature view"),
    Field("representation", "string", "", "Representation of the view"),
    Field("clustering", "string", "", "Clustering method"),
    Field("method", "string", "", "Method as named in config/methods.yaml"),
    Field("k", "int64", "1", "Number of clusters", minimum=1, nullable=True),
    Field("metric", "string", "", "What was measured"),
    Field("metric_value", "float64", "1", "The measured number", nullable=True),
    Field("seed", "int64", "1", "Random seed; empty where nothing is random", nullable=True),
    Field("split", "string", "", "Rows that the number is about: all, seed (a rerun with another seed) or bootstrap"),
    Field("ari", "float64", "1", "Adjusted Rand index between two labelings", citation="Hubert & Arabie 1985",
          minimum=-1.0, maximum=1.0),
    # claims
    Field("id", "string", "", "Identifier of the claim"),
    Field("variant", "string", "", "What the claim was evaluated on where there is more than one; otherwise empty"),
    Field("says", "string", "", "The published statement"),
    Field("cites", "string", "", "Where it is published"),
    Field("expected", "float64", "1", "The published value; 1 and 0 stand for true and false"),
    Field("tolerance", "float64", "1", "Largest difference from the expected value that still agrees", minimum=0.0),
    Field("measured", "float64", "1", "The value measured here; empty when not evaluated", nullable=True),
    Field("verdict", "string", "", "What the measurement says about the claim", allowed=(
        "reproduced", "contradicted", "not evaluated", "agrees on simulated data", "differs on simulated data")),
    Field("quantity", "string", "", "What kind of value is compared", allowed=("number", "true or false")),
    Field("detail", "string", "", "Spread or further numbers behind the measured value"),
)  # fmt: skip

FIELDS: dict[str, Field] = {f.name: f for f in _ALL}
