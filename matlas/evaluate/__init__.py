"""Clusterings and features judged by what they never saw.

external     agreement of labelings with known classes, and with the same labelings shuffled
conditions   whether clusters split on a measured condition rather than on class
sensitivity  how far an altered copy of an entity travels, against the spread of its class
inspection   how many planted outliers an inspector finds among the first rows of a ranking
alignment    the rows of one table in the order of another
"""
