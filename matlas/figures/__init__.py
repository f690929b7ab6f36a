"""Figures and tables that a study may ask for: an SVG and the CSV of what it shows, or a CSV alone.

study_data   what the tables of a study hold, loaded once
parameters   what a figure asks for, checked against the data
style        one look: colour-blind safe palette, sizes, names, the SAMPLE DATA mark, what must be said of weights
labels       places for labels that don't cover one another
classes      true classes, and colours that clusters share with them
sweeps       cluster_sweep, seed_spread
agreement    agreement
maps         cluster_map, label_map, property_map
properties   property_trend, property_boxes
scores       score_summary, score_by_stage
contingency  contingency
effects      condition_effects, sensitivity
recall       outlier_recall
image_maps   something of each pixel on the image, with a scale bar
phases       phase_map, soft_map
spectra      cube_overview, centroid_spectra
unmixing     abundance_maps, endmembers, residual_maps, unmixing_scores, endmember_count
quantities   quantities, noise_sweep, pixel_fit
sheets       image_examples, exemplars, outliers
ranking      cluster_ranking
learning     figures of what is learned and read out, a package
draw         the kinds by name
"""
