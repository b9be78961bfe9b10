"""``python -m photonstats`` is the command line."""

from photonstats.cli.commands import main

if __name__ == "__main__":
    main()
