"""Sample data: raw files in the formats of real sources, with a planted truth.

generators        the generators by name, as config/demo.yaml gives it
thermoelectrics   an ESTM-like spreadsheet of doped compound families
micrographs       a NEU-DET-like archive of six surface textures in two lighting conditions
network_weights   a product-quantised ResNet18 with random weights
"""
