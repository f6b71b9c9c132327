"""The console script `fairrecon`."""

import os
import sys

# Before anything imports JAX: XLA calls the tuning flags of a cached program an error, even on the
# machine that compiled it.
if "--verbose" not in sys.argv:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
