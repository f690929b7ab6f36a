"""Figures and tables that a study may ask for: an SVG and the CSV of what it shows, or a CSV alone.

study_data   what the tables of a study hold, loaded once
parameters   what a figure asks for, checked against the data
style        one look: colour-blind safe palette, sizes, names, the SAMPLE DATA mark
labels       places for labels that don't cover one another
sweeps       cluster_sweep, seed_spread
agreement    agreement
maps         cluster_map, property_map
properties   property_trend, property_boxes
ranking      cluster_ranking
draw         the kinds by name
"""
