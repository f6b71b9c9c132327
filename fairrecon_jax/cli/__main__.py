"""`python -m fairrecon_jax.cli` is the console script."""

import sys

from fairrecon_jax.cli.main import main

sys.exit(main())
