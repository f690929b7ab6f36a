"""Spectrum images (EELS, EDXS, XRF, Raman, remote sensing): H x W pixels with a spectrum of C channels each.

cube         what a cube and its calibrated axes are
read         from a file to a cube, checked
formats      what reads which file, and its array as it lies there
prepare      preparation by configuration: crop, bin, what is dead or empty, and the steps below
noise        Anscombe's transform, variance scaling, principal components of counts
eels         power-law background and alignment of the zero-loss peak
"""
