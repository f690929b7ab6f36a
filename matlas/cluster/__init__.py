"""Clusterings of a view or representation.

sweep        fit over a range of cluster numbers, or find the number, with inertia, BIC and silhouette
mixture      the diagonal Gaussian mixture that sweep fits
tree         the agglomerative tree that sweep cuts
density      HDBSCAN's labels
silhouette   silhouettes of many labelings from one pass over the distances
stability    agreement between seeds, bootstrap samples and labelings
reruns       the labels of every seed and cluster number as one table
study        a sweep, the labels of every entity, and what reruns say, as one study uses them
verdict      what the sweep says, in words
"""
