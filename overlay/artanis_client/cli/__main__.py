"""`python -m artanis_client.cli`: the command `artanis`, if it is not on the PATH."""

from . import main

if __name__ == "__main__":
    main()
