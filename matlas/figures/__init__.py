"""Figures that a study may ask for, each an SVG and the CSV of its data.

study_data   what the tables of a study hold, loaded once
style        one look: colour-blind safe palette, sizes, the SAMPLE DATA mark
sweeps       elbow, silhouette, spread over seeds, agreement
maps         scores on the first two components, coloured by cluster or property
properties   properties per cluster; the cluster ranking
draw         the figure kinds by name
"""
