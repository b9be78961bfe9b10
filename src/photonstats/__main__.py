"""``python -m photonstats`` is the command line."""

from photonstats.cli import main

if __name__ == "__main__":
    main()
