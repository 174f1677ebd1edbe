"""`python -m hf_muonclip`, the same as `hf-muonclip`."""

import sys

from .cli import main

sys.exit(main())
