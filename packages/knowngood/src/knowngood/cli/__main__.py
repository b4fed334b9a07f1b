"""``python -m knowngood.cli``: the command line, where no script was installed."""

from knowngood.cli import main

main()
