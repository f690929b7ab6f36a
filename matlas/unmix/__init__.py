"""Linear unmixing of spectra: N pixels x C channels as abundances (N, m) times endmember spectra (m, C).

fcls    abundances of given endmembers, non-negative and with sum-to-one (fcls) or without (nnls), to the exact optimum
vca     endmembers from the purest pixels: vertex component analysis
nmf     endmembers and abundances together by non-negative matrix factorisation, and their refinement by FCLS
network endmembers and abundances together by an autoencoder that ends in a softmax, and its use on new spectra
match   spectral angles, the matching of found endmembers to reference spectra, and the error of abundances
rank    how many endmembers counted spectra support: parametric bootstrap of the counting noise
"""
