"""Measured comparisons with peers, side by side in one run: `make bench`.

paired        the one way two sides are timed
composition   composition features against matminer
crystal       crystal features against matminer, of those whose values agree
cluster       the k-means sweep against a loop over scikit-learn
embedding     a frozen network fed from files against its bare forward pass
training      training of an autoencoder against a loop by hand and PyTorch Lightning
pixels        memory of the raw-pixel pipeline at 1,800 and 18,000 images
million       a million compositions to a validated Parquet table, in seconds and memory
"""
