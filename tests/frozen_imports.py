"""Imported last by the server that forks ranks: what it has imported is no garbage, and no child looks through it."""

import atexit
import gc

gc.collect()
gc.freeze()
atexit.register(gc.unfreeze)  # or libraries complain of what is left at the end
