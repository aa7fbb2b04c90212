"""`python -m charge_points_sim.social`."""

import sys

from charge_points_sim.social.run import main

sys.exit(main())
