"""Autoencoders for tables of numbers: a narrow code from which the rows can be rebuilt.

networks    plain, linear, variational and denoising, as torch modules, and their losses
training    Adam over one tensor, early stopping, checkpoints that a killed training goes on from
estimator   `Autoencoder`, with scikit-learn's fit and transform
collapse    which dimensions of the code carry anything
ranges      where the training rows lie, and which new rows lie elsewhere
card        a trained model as a folder: weights and model card
apply       a loaded model on new rows, with a warning for each that is unlike the training rows
"""
