"""Run Custody as `python -m custody`."""

from custody.cli.main import main

if __name__ == "__main__":
    main()
