"""``python -m tools.dashboard``: writes deploy/grafana/streamer.json, and prints its name if it has changed."""

import sys
from pathlib import Path
from typing import Final

from tools.dashboard.form import text

FILE: Final = Path(__file__).parents[2] / "deploy/grafana/streamer.json"


def main() -> None:
    """Write the file."""
    if not FILE.exists() or FILE.read_text(encoding="utf-8") != text():
        FILE.write_text(text(), encoding="utf-8")
        sys.stdout.write(f"{FILE}\n")


if __name__ == "__main__":
    main()
