"""`python -m recdistill` is `recdistill`."""

import sys

from recdistill.cli import main

sys.exit(main())
