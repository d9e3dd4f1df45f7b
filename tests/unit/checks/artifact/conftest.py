"""Makes the corpus and the museum beside these tests importable."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
