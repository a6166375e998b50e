"""``python -m vitrine``: the same as the command ``vitrine``."""

from vitrine.cli import main

main()
