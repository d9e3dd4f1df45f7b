"""Run Custody as `python -m custody`."""

import sys

if __name__ == "__main__":
    try:
        from custody.cli.main import main

        main()
    except KeyboardInterrupt:
        # While the modules are still being imported; afterwards `main` itself says so.
        sys.stderr.write("interrupted; what was recorded is safe\n")
        sys.exit(130)
