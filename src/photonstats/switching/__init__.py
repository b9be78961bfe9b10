"""Changes of intensity and lifetime: change points, levels, FLID, levels against a continuum."""
