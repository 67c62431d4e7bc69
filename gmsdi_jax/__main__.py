"""`python -m gmsdi_jax` is `gmsdi`."""

import sys

from gmsdi_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
