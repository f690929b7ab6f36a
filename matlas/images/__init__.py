"""Micrographs and other grey images.

files        which files of a folder are the images, and whether any was edited
read         a file as grey values, or the reason why it can't be
describe     brightness, contrast and sharpness
duplicates   images that repeat an earlier one
pixels       principal components of standardised pixels
alterations  copies with another brightness, orientation, …
"""
