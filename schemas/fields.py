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

CRYSTAL_SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")

_MP = "Jain et al. 2013, 10.1063/1.4812323"
_SPGLIB = "Togo et al. 2024, 10.1080/27660400.2024.2384822"
_ROW = "Number of the row in the source, counted from 1 below the header"

_ALL = (
    # keys and identities
    Field("row_id", "int64", "1", _ROW, minimum=1),
    Field("measurement_id", "int64", "1", _ROW, minimum=1),
    Field("composition", "string", "", "Chemical formula as the source writes it, without surrounding spaces; of a "
          "crystal that of its structure"),
    Field("reduced_formula", "string", "", "Formula with the smallest integer amounts, by pymatgen"),
    Field("n_elements", "int64", "1", "Number of different elements", minimum=1, maximum=118),
    Field(
        "chemical_family", "string", "", "Class named after the most electronegative anion former that makes up at "
        "least 10 % of the atoms", citation="naming order: IUPAC Red Book 2005; the 10 % threshold is matlas's own",
        allowed=FAMILIES,
    ),
    Field("dominant_element", "string", "", "Element with the largest atomic fraction (ties: lower atomic number)"),
    Field("repeated", "bool", "", "An earlier row has the same values in the columns that identify a measurement"),
    # crystals
    Field("material_id", "string", "", "Identifier of the crystal in its source"),
    Field("chemical_system", "string", "", "Elements of the crystal in alphabetic order, joined by hyphens"),
    Field("anonymous_formula", "string", "", "Reduced formula with the elements replaced by A, B, … by rising amount"),
    Field("prototype", "string", "", "Isopointal class: anonymous formula, space group number and the letters of the "
          "occupied Wyckoff positions", citation="Mehl et al. 2017, 10.1016/j.commatsci.2017.01.017"),
    Field("n_sites", "int64", "1", "Sites of the cell as the source gives it", minimum=1),
    Field("cell_a", "float64", "Å", "Length of the cell vector a", minimum=0.0),
    Field("cell_b", "float64", "Å", "Length of the cell vector b", minimum=0.0),
    Field("cell_c", "float64", "Å", "Length of the cell vector c", minimum=0.0),
    Field("cell_alpha", "float64", "°", "Angle between b and c", minimum=0.0, maximum=180.0),
    Field("cell_beta", "float64", "°", "Angle between a and c", minimum=0.0, maximum=180.0),
    Field("cell_gamma", "float64", "°", "Angle between a and b", minimum=0.0, maximum=180.0),
    Field("cell_volume", "float64", "Å³", "Volume of the cell", minimum=0.0),
    Field("disordered", "bool", "", "A site is partly occupied or shared: the crystal has a composition, no geometry"),
    Field("space_group_number", "int64", "1", "Space group, as spglib finds it", minimum=1, maximum=230,
          citation=_SPGLIB),
    Field("space_group", "string", "", "Space group in Hermann-Mauguin's short notation", citation=_SPGLIB),
    Field("crystal_system", "string", "", "Crystal system of the space group", allowed=CRYSTAL_SYSTEMS),
    Field("centrosymmetric", "bool", "", "The point group holds the inversion"),
    Field("point_group_order", "int64", "1", "Number of operations of the point group", minimum=1, maximum=48),
    Field("standard_a", "float64", "Å", "Length a of the standardised conventional cell", minimum=0.0,
          citation=_SPGLIB),
    Field("standard_b", "float64", "Å", "Length b of the standardised conventional cell", minimum=0.0,
          citation=_SPGLIB),
    Field("standard_c", "float64", "Å", "Length c of the standardised conventional cell", minimum=0.0,
          citation=_SPGLIB),
    Field("standard_alpha", "float64", "°", "Angle α of the standardised conventional cell", minimum=0.0,
          maximum=180.0, citation=_SPGLIB),
    Field("standard_beta", "float64", "°", "Angle β of the standardised conventional cell", minimum=0.0,
          maximum=180.0, citation=_SPGLIB),
    Field("standard_gamma", "float64", "°", "Angle γ of the standardised conventional cell", minimum=0.0,
          maximum=180.0, citation=_SPGLIB),
    Field("n_sites_primitive", "int64", "1", "Sites of the primitive cell", minimum=1),
    Field("n_orbits", "int64", "1", "Symmetrically distinct sites", minimum=1),
    Field("values_differ", "bool", "", "Two tables of the source give different values for a column"),
    Field("site", "int64", "1", "Number of the site in the cell, from 0; species that share a site share it",
          minimum=0),
    Field("element", "string", "", "Chemical symbol"),
    Field("occupancy", "float64", "1", "Share of the site that the element occupies", minimum=0.0, maximum=1.0 + 1e-9),
    Field("frac_x", "float64", "1", "Fractional coordinate along a"),
    Field("frac_y", "float64", "1", "Fractional coordinate along b"),
    Field("frac_z", "float64", "1", "Fractional coordinate along c"),
    Field("formation_energy_per_atom", "float64", "eV/atom", "Formation energy from the elements (PBE, corrected as "
          "the Materials Project does)", citation=_MP, label="formation energy"),
    Field("energy_above_hull", "float64", "eV/atom", "Energy above the convex hull of the chemical system",
          citation=_MP, minimum=0.0),
    Field("band_gap", "float64", "eV", "Kohn-Sham band gap (PBE); 0 for a metal", citation=_MP, minimum=0.0),
    Field("bulk_modulus", "float64", "GPa", "Bulk modulus, Voigt-Reuss-Hill average",
          citation="de Jong et al. 2015, 10.1038/sdata.2015.9"),
    Field("shear_modulus", "float64", "GPa", "Shear modulus, Voigt-Reuss-Hill average",
          citation="de Jong et al. 2015, 10.1038/sdata.2015.9"),
    Field("year", "float64", "a", "Year in which the structure was first published", minimum=1800.0, maximum=2100.0),
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
    Field("pixel_id", "int64", "1", "Number of the pixel from 1, row by row of the image", minimum=1),
    Field("pixel_y", "int64", "px", "Row of the pixel in the image, from 0 at the top", minimum=0),
    Field("pixel_x", "int64", "px", "Column of the pixel in the image, from 0 on the left", minimum=0),
    Field("total", "float64", "", "Sum over all channels of the pixel's spectrum, in the unit of the data"),
    Field("material", "string", "", "Material with the largest share in the pixel, as the source gives it"),
    Field("cluster", "int64", "1", "Cluster label at the K with the largest silhouette; -1 is noise", minimum=-1),
    Field("distance", "float64", "1", "Euclidean distance to the centroid of the row's cluster (of noise: to the "
          "nearest centroid), in the clustered space", minimum=0.0, nullable=True),
    # unmixing
    Field("unmixing", "string", "", "Unmixing method"),
    Field("endmember_count", "string", "", "How endmembers were counted, as named in config/methods.yaml"),
    Field("endmember", "string", "", "The material whose spectrum the endmember resembles most, in the best one-to-one "
          "matching with the reference spectra; where there are none, its number from 1 by falling mean share; `all` "
          "stands for all of them"),
    Field("share", "float64", "1", "Share of the endmember in the pixel's spectrum; all shares of a pixel sum to 1",
          minimum=0.0, maximum=1.0 + 1e-9),
    Field("channel", "int64", "1", "Number of the channel, from 0", minimum=0),
    Field("position", "float64", "", "Where the channel stands on the spectral axis, in the unit of the axis"),
    Field("intensity", "float64", "", "Intensity of a spectrum, in the unit of its view"),
    Field("residual", "float64", "", "Root of the mean squared difference between a pixel's spectrum and its mixture, "
          "in the unit of the view", minimum=0.0),
    Field("brightness", "float64", "1", "Sum of the abundances of the pixel before they were divided by it: 1 where "
          "the method makes it so", minimum=0.0),
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
    Field("split", "string", "", "Rows that the number is about: all, seed (a rerun with another seed), bootstrap, or "
          "a part of a split"),
    Field("ari", "float64", "1", "Adjusted Rand index between two labelings", citation="Hubert & Arabie 1985",
          minimum=-1.0, maximum=1.0),
    # learning
    Field("fold", "string", "", "Fold of the split"),
    Field("part", "string", "", "What the fold uses the entity for", allowed=("train", "validation", "test")),
    Field("rank", "int64", "1", "Place in the order in which columns were chosen, from 1", minimum=1, nullable=True),
    Field("explained", "float64", "1", "Share of the variance of all columns that this and the columns chosen before "
          "it explain", minimum=0.0, maximum=1.0 + 1e-9, nullable=True),
    Field("epoch", "int64", "1", "Passes over the training rows so far", minimum=1),
    Field("train_loss", "float64", "1", "Mean loss over the batches of the epoch"),
    Field("kept", "bool", "", "Whether the network kept the weights of this epoch"),
    Field("validation_loss", "float64", "1", "Loss of the validation rows: of a variational encoder with its penalty",
          minimum=0.0),
    Field("learning_rate", "float64", "1", "Learning rate of the epoch", minimum=0.0),
    Field("rebuilt", "float64", "1", "The value that the encoder rebuilds from the code"),
    Field("target", "string", "", "What is predicted, as named in the study"),
    Field("task", "string", "", "Numbers or classes", allowed=("regression", "classification")),
    Field("input", "string", "", "What it is predicted from, as named in the study"),
    Field("head", "string", "", "Model that predicts, as named in config/methods.yaml; mean is no model at all, and "
          "… (shuffled) the model trained and judged on targets that changed places"),
    Field("truth", "float64", "1", "The value in the dataset; of classes 1 and 0"),
    Field("predicted", "float64", "1", "The value predicted without having seen the entity; of classes a score"),
    Field("low", "float64", "1", "Lower end of the 95 % interval", nullable=True),
    Field("high", "float64", "1", "Upper end of the 95 % interval", nullable=True),
    Field("n", "int64", "1", "Entities that the number is about", minimum=0),
    Field("rows_used", "int64", "1", "Training rows that the head was fitted on; of all folds together the most in any "
          "of them", minimum=1),
    Field("test", "string", "", "Test of the representation"),
    Field("case", "string", "", "What the test was applied to: data, planted, or a method"),
    Field("group", "string", "", "Label, family or target that the number is about; empty for all"),
    Field("x", "float64", "1", "What the number depends on: width of the code, share of the way, labelled entities",
          nullable=True),
    # claims
    Field("id", "string", "", "Identifier of the claim"),
    Field("variant", "string", "", "What the claim was evaluated on where there is more than one; otherwise empty"),
    Field("says", "string", "", "The published statement"),
    Field("cites", "string", "", "Where it is published"),
    Field("expected", "float64", "1", "The published value; 1 and 0 stand for true and false"),
    Field("tolerance", "float64", "1", "Largest difference from the expected value that still agrees", minimum=0.0),
    Field("measured", "float64", "1", "The value measured here; empty when not evaluated", nullable=True),
    Field("verdict", "string", "", "What the measurement says about the claim", allowed=(
        "reproduced", "contradicted", "not evaluated", "reproduced on simulated data",
        "contradicted on simulated data", "agrees on simulated data", "differs on simulated data")),
    Field("quantity", "string", "", "What kind of value is compared", allowed=("number", "true or false")),
    Field("detail", "string", "", "Spread or further numbers behind the measured value"),
)  # fmt: skip

FIELDS: dict[str, Field] = {f.name: f for f in _ALL}
