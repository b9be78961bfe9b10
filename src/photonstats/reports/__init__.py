"""What people read of an analysis: the page, its sentences, tables."""
