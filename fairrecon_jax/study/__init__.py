"""A study: its configuration parsed once, its grid of cells, its stages, and what makes each."""
