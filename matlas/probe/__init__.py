"""Supervised readouts of a property, each within a declared split.

splits: which entities train and which test; preparation: views to one design matrix by the training rows alone (with
selection, which chooses descriptors); heads: the models; probes: inputs times heads over the folds of a split;
intervals: scores with bootstrap intervals over groups of entities; targets, inputs: both from tables; study: all probes
of a study under one split.
"""
