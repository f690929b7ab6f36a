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
""",
    "views.yaml": """
fractions: {kind: composition, features: element_fractions}
magpie: {kind: composition, features: element_statistics, table: magpie, statistics: [mean]}
fractions_temperature: {kind: joined, of: [fractions], columns: [temperature]}
pixels: {kind: image, features: pixels}
net: {kind: image, features: network, network: resnet18, weights: weights, format: torchvision, description: A net}
large: {kind: image, features: network, network: resnet18, weights: large_weights, format: product_quantised}
""",
    "methods.yaml": """
representations:
  pca: {algorithm: pca, n_components: 2}
  as_is: {algorithm: identity}
maps:
  tsne: {algorithm: tsne, perplexity: 5}
  umap: {algorithm: umap}
clusterings:
  kmeans: {algorithm: kmeans, k: [2, 3], stability: {seeds: 2}}
  gmm: {algorithm: gmm, k: [2, 3]}
  ward: {algorithm: agglomerative, k: [2, 3]}
  density: {algorithm: hdbscan}
inspections:
  tiny: {k: 20, k_few: 4}
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
}
