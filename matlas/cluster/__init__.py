"""Clusterings of a view or representation.

sweep        fit over a range of cluster numbers, with inertia, BIC and silhouette
silhouette   silhouettes of many labelings from one pass over the distances
stability    agreement between seeds, bootstrap samples and labelings
study        a sweep, the labels of every entity, and what reruns say, as one study uses them
verdict      what the sweep says, in words
"""
