"""The claims of the paper beside the same numbers of a finished study."""
