"""`python -m peerscope` is the command line."""

from peerscope.cli import main

if __name__ == "__main__":
    main()
