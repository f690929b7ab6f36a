"""Measured comparisons with peers, side by side in one run: `make bench`.

paired        the one way two sides are timed
composition   composition features against matminer
cluster       the k-means sweep against a loop over scikit-learn
million       a million compositions to a validated Parquet table, in seconds and memory
"""
