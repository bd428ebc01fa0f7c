"""`python -m nextbest` is `nextbest`."""

from nextbest.cli import main

main()
