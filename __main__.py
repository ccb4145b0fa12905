"""``python -m galaxy_edge`` is the command ``galaxy-edge``."""

from .cli.main import main

if __name__ == "__main__":
    main()
