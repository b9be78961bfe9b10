"""How a dot blinks: dwell times and their laws, type A or B, power spectra."""
