"""Feature views: tables of features for the entities of a dataset.

elements      element-property tables (magpie, deml, …) as one matrix
composition   statistics of element properties over a composition, by one vectorised kernel
images        pixels, and tables of features of images and of their altered copies
network       pooled outputs of a frozen network
"""
