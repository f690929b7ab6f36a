"""Clusterings, features and representations judged by what they never saw.

external     agreement of labelings with known classes, and with the same labelings shuffled
conditions   whether clusters split on a measured condition rather than on class
sensitivity  how far an altered copy of an entity travels, against the spread of its class
inspection   how many planted outliers an inspector finds among the first rows of a ranking
bottleneck, manifold, neighbourhoods, uncertainty, active_learning, transfer, audits: tests of representations, each a
list of records (records) with intervals (resampling); retraining: encoders trained again for a test
alignment    the rows of one table in the order of another
"""
