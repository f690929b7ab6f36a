"""A small configuration with something of everything, file by file."""

TREE = {
    "config.yaml": """
runtime: {seed: 3, blas_threads: 1}
studies: null
sample_sources: {lab: {generator: thermoelectrics, rows: 40}}
""",
    "sources.yaml": """
lab:
  title: Laboratory
  licence: CC0
  citation: none
  files:
    lab.csv:
      urls: [https://example.org/lab.csv]
      mirror: lab/lab.csv
      sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
      bytes: 10
archive:
  title: Archive
  licence: CC0
  citation: none
  files:
    a.zip: &file
      mirror: a.zip
      sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
      bytes: 10
      unpack: zip
    b.zip:
      <<: *file
      mirror: b.zip
weights:
  title: Weights of a network
  licence: CC0
  citation: none
  files:
    net.pth: {<<: *file, mirror: net.pth, unpack: none}
large_weights:
  title: Weights of a large network
  licence: CC0
  citation: none
  optional: true
  files:
    large.pth: {<<: *file, mirror: large/large.pth, unpack: none}
minerals:
  title: Minerals
  licence: CC0
  citation: none
  files:
    old.csv: {<<: *file, mirror: old.csv, unpack: none}
    new.csv: {<<: *file, mirror: new.csv, unpack: none}
    elastic.json: {<<: *file, mirror: elastic.json, unpack: none}
simulated_map:
  title: A simulated map
  licence: CC0
  citation: none
  simulated:
    map.npz: {generator: mineral_map, rows: 400}
    steel.npz: {generator: duplex_steel, rows: 900}
""",
    "datasets.yaml": """
alloys:
  kind: composition
  title: Alloys
  source: lab
  formula: Formula
  columns:
    temperature: T
    zt: {source: ZT, nullable: true}
    hardness: {source: HV, unit: GPa, description: Vickers hardness, minimum: 0}
  derived:
    zt_per_kelvin: zt / temperature
  flags:
    hot: {sql: temperature > 300, description: Above room temperature}
  repeats: [composition, temperature]
steel:
  kind: image
  title: Steel
  path: data/steel
  labels: {by: folder}
  size: [200, 100]
  derived:
    glare: brightness / contrast
crystals:
  kind: crystal
  title: Crystals
  source: minerals
  release: "2025"
  tables:
    bands:
      files: [old.csv, new.csv]
      columns: {band_gap: gap, year: first_published}
    elastic:
      files: [elastic.json]
      id: mp_id
      structure: structure
      columns:
        bulk_modulus: k_vrh
        band_gap: pbe_gap
        toughness: {source: kic, unit: MPa m^½, description: Fracture toughness}
map:
  kind: cube
  title: Map
  source: simulated_map
  file: map.npz
  array: counts
  axes: [y, x, signal]
  signal: {unit: keV, offset: 0.8, scale: 0.01}
  counts: true
  truth: {array: abundances, materials: [bridgmanite, ferropericlase, davemaoite], spectra: endmembers}
  eds:
    beam_energy: 200
    elements: [Mg, Si, Fe, Sm, Cu]
    not_in_sample: [Cu]
    detector: {variance_offset: 0.0005, variance_slope: 0.0005, elevation_deg: 22}
    phases: {bridgmanite: MgSiO3}
""",
    "views.yaml": """
fractions: {kind: composition, features: element_fractions}
magpie: {kind: composition, features: element_statistics, table: magpie, statistics: [mean]}
fractions_temperature: {kind: joined, of: [fractions], columns: [temperature]}
pixels: {kind: image, features: pixels}
net: {kind: image, features: network, network: resnet18, weights: weights, format: torchvision, description: A net}
large: {kind: image, features: network, network: resnet18, weights: large_weights, format: product_quantised}
geometry: {kind: crystal, features: geometry, cutoff: 6}
counts: {kind: cube, features: spectrum}
shape: {kind: cube, features: spectrum, steps: [{scaled: {by: sum}}]}
chosen: {kind: selected, of: [magpie, geometry], n_features: 20, split: one_fold}
""",
    "methods.yaml": """
splits:
  one_fold: {kind: holdout, by: chemical_system}
  systems: {kind: folds, by: chemical_system, folds: 3}
  families: {kind: leave_out, by: chemical_family, validation: 0.2, validation_by: chemical_system}
  years: {kind: ordered, by: year}
  rows: {kind: folds}
  random_rows: {kind: holdout}
representations:
  pca: {algorithm: pca, n_components: 2}
  as_is: {algorithm: identity}
  code: {algorithm: autoencoder, layers: [8, 3], split: one_fold}
  noisy_code: {algorithm: autoencoder, kind: denoising, split: one_fold}
  factors: {algorithm: factor_analysis, n_components: 2, split: random_rows}
maps:
  tsne: {algorithm: tsne, perplexity: 5}
  umap: {algorithm: umap}
  noise: {algorithm: umap, of: code, rows: 50, shuffle: true}
clusterings:
  kmeans: {algorithm: kmeans, k: [2, 3], stability: {seeds: 2}}
  gmm: {algorithm: gmm, k: [2, 3]}
  ward: {algorithm: agglomerative, k: [2, 3]}
  density: {algorithm: hdbscan}
endmember_counts:
  bootstrap: {largest: 5}
unmixings:
  vca3: {algorithm: vca, endmembers: 3}
  nmf_found: {algorithm: nmf, endmembers: bootstrap}
  given: {algorithm: given}
inspections:
  tiny: {k: 20, k_few: 4}
heads:
  ridge: {algorithm: ridge, alphas: [1]}
  trees: {algorithm: boosting, learning_rates: [0.1]}
""",
    "studies/heat.yaml": """
title: Heat
dataset: alloys
views: [fractions_temperature, magpie]
representations: [pca]
clusterings: [kmeans]
figures:
  - {name: map, kind: property_map, property: zt}
tables:
  - {name: ranking, kind: cluster_ranking, clustering: kmeans, rank_by: zt, window: temperature}
claims:
  - {id: best-k, says: Two, cites: none, sql: SELECT 2, expect: 2}
""",
    "studies/own.yaml": """
title: A dataset and a view of its own
dataset:
  name: mine
  kind: composition
  title: Mine
  path: data/mine.csv
  formula: formula
  columns: {zt: ZT}
views:
  - {name: both, kind: joined, of: [fractions, magpie], columns: [zt]}
representations: [pca]
claims:
  - {id: mine-k, says: Two, cites: none, sql: SELECT true, expect: true}
""",
    "studies/defects.yaml": """
title: Defects
dataset: steel
views:
  - pixels
  - net
  - net_stage1
  - large
  - large_stage2
  - {name: pixels_and_large, kind: joined, of: [pixels, large], columns: [brightness]}
representations:
  - as_is
  - {name: pca, views: [net, large]}
maps:
  - {name: tsne, views: [pixels, net]}
  - umap
clusterings:
  - kmeans
  - {name: density, views: [pixels, net]}
  - {name: gmm, representations: [pca]}
  - {name: ward, views: [net, large], representations: [as_is]}
evaluation: {label: label, conditions: [brightness, glare]}
inspections:
  - {name: tiny, views: [pixels, large]}
figures:
  - {name: classes, kind: label_map, map: tsne, views: [net]}
  - {name: scores, kind: score_summary, k: 3, clusterings: [kmeans, ward], representations: [as_is]}
  - {name: split_on, kind: condition_effects, clustering: kmeans, k: 3}
  - {name: found, kind: outlier_recall}
claims:
  - id: net-beats-pixels
    says: Better
    cites: none
    variants: [net, large]
    sql: SELECT count(*) > 0 FROM scores WHERE view = '{variant}'
    expect: true
""",
    "studies/own_images.yaml": """
title: Images of its own
dataset:
  name: ores
  kind: image
  title: Ores
  path: data/ores.zip
  labels: {by: table, path: data/labels.csv, file: name, label: mineral}
views: [large]
representations: [as_is]
""",
    "studies/unmixed.yaml": """
title: Spectra of pixels taken apart
dataset: map
views: [counts, shape]
representations: [{name: pca, views: [shape]}, {name: factors, views: [shape]}]
clusterings: [kmeans, {name: density, representations: [pca]}]
endmember_counts: [{name: bootstrap, views: [counts]}]
unmixings: [{name: vca3, views: [shape]}, {name: nmf_found, views: [counts]}, given]
evaluation: {label: material}
quantification:
  view: counts
  unmixing: nmf_found
  ratios: [{name: Mg/Si, above: [Mg], below: [Si, Fe]}]
  windows: [{elements: [Sm], low: 4, high: 6}]
  stated_ppm: {Sm: {bridgmanite: 2000}}
tests:
  noise: {doses: [50, 100], spaces: [shape/pca], clusterings: [kmeans], unmixings: [shape/vca3]}
  pixel_fit:
    low: 10
    high: 35
    phases: {bridgmanite: [23, 11], davemaoite: [24, 12]}
    spaces: [shape/pca]
    clustering: kmeans
    k: 3
figures:
  - {name: unmixed, kind: unmixing_scores}
  - {name: shares, kind: abundance_maps, unmixing: vca3}
  - {name: composition, kind: quantities}
  - {name: noisy, kind: noise_sweep}
  - {name: fitted, kind: pixel_fit}
""",
    "studies/learned.yaml": """
title: What is learned of crystals
dataset: crystals
views: [magpie, geometry, chosen]
representations:
  - {name: as_is, views: [chosen]}
  - {name: code, views: [chosen]}
  - {name: noisy_code, views: [chosen]}
maps:
  - {name: noise, views: [chosen]}
evaluation: {label: chemical_family}
probing:
  targets:
    gap: {sql: band_gap, unit: eV}
    metal: {sql: band_gap = 0}
    stiffness: {sql: log(bulk_modulus), where: bulk_modulus > 0}
  inputs:
    elements: [magpie/as_is]
    descriptors: [chosen/as_is]
    codes: [chosen/code]
    greybox: [chosen/as_is, chosen/code]
  trials:
    - {split: systems, heads: [ridge, trees]}
    - {split: families, heads: [ridge], inputs: [descriptors, codes], targets: [gap]}
    - {split: years, heads: [trees], inputs: [elements], targets: [stiffness]}
  families: chemical_family
  compare:
    - [codes, descriptors]
    - [greybox, descriptors]
tests:
  bottleneck: {view: chosen, encoder: code, widths: [2, 4, 8], targets: [metal]}
  manifold: {view: chosen, encoders: [code, noisy_code]}
  neighbourhood: {spaces: [chosen/as_is, chosen/code], labels: [crystal_system]}
  uncertainty: {target: gap, inputs: [descriptors], head: ridge, split: families}
  active_learning: {target: stiffness, spaces: [chosen/noisy_code], split: one_fold}
  audit:
    view: chosen
    encoder: code
    families: chemical_family
    sources: [in_bands, in_elastic]
    matched_by: [n_sites]
    over: year
figures:
  - {name: trained, kind: training_curves, representations: [noisy_code]}
  - {name: rebuilt, kind: reconstruction_parity}
  - {name: widths, kind: width_sweep}
  - {name: holes, kind: manifold_holes}
  - {name: families_in_codes, kind: latent_map, property: chemical_family}
  - {name: best_input, kind: probe_leaderboard, split: systems, target: stiffness, head: trees}
  - {name: gain, kind: family_benefit, split: families, target: gap, compare: [descriptors, codes]}
  - {name: under_splits, kind: split_comparison, target: gap, head: ridge}
  - {name: near, kind: neighbourhoods}
  - {name: covered, kind: coverage}
  - {name: labels, kind: learning_curves, test: active_learning}
  - {name: faults, kind: failure_modes}
tables:
  - {name: gains, kind: family_benefit, split: systems, compare: [greybox, descriptors]}
""",
    "studies/transferred.yaml": """
title: Whether an encoder of many compositions helps where labels are few
dataset: alloys
views: [magpie]
representations: [pca]
probing:
  targets:
    merit: {sql: zt}
  inputs:
    descriptors: [magpie/pca]
  trials:
    - {split: rows, heads: [ridge]}
  resampled_by: composition
tests:
  transfer:
    source: crystals
    view: magpie
    encoder: code
    columns: [temperature]
    group: composition
    heads: [ridge]
    targets: [merit]
    sizes: [25]
figures:
  - {name: few_labels, kind: learning_curves, test: transfer}
""",
    "studies/own_crystals.yaml": """
title: Crystals of its own
dataset:
  name: silica
  kind: crystal
  title: Silica
  query: {elements: [Si, O], is_stable: true}
  columns: {energy_above_hull: e_hull}
views:
  - {name: few, kind: selected, of: [geometry], n_features: 5, split: one_fold}
representations: [as_is]
""",
}
