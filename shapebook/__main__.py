"""``python -m shapebook``: the same as ``shapebook``."""

from shapebook.run import main

main()
