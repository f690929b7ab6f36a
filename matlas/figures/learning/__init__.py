"""Figures and tables of studies that learn representations and read properties out of them.

words       how splits, targets and metrics are said
points      points with intervals on rows
training    training_curves, reconstruction_parity
latent      latent_map
widths      width_sweep
spaces      manifold_holes, neighbourhoods
probes      probe_leaderboard, split_comparison
benefit     family_benefit, the figure and the table
trust       coverage
curves      learning_curves
audits      failure_modes
"""
