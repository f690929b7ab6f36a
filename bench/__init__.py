"""Measured comparisons with peers, side by side in one run: `make bench`.

measure       the one way two sides are timed, and a process measured
targets       what the numbers are held to (targets.yaml)
page          the bench as a page of the report
composition   composition features against matminer
crystal       crystal features against matminer, of those whose values agree
cluster       the k-means sweep against a loop over scikit-learn
embedding     a frozen network fed from files against its bare forward pass
training      training of an autoencoder against a loop by hand and PyTorch Lightning
streaming     training on a million rows from disk against from memory, and against the roofline
retrieval     questions to a store of a million rows against pandas
million       a million compositions to a validated Parquet table, in seconds and memory
pixels        memory of the raw-pixel pipeline at 1,800 and 18,000 images
unmixing      fully constrained unmixing of 100,000 pixels against scipy's nnls pixel by pixel
cube          the workflow on a spectrum image of 1 GB, and cluster analysis against HyperSpy's
scale         the workflow from thousands to a million rows: memory, and how its time grows
workflow      a call of the workflow that finds nothing to do
overhead      a whole study by the workflow against a plain script that does the same (plain_script)
"""
