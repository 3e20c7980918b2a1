"""`python -m phusa`: the command line."""

from phusa import main

main()
