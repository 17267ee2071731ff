"""What is typed: ``dusa-ignite COMMAND``, a file per command: its options, and one call.

Nothing here imports torch before a command needs it, so that ``--help`` answers at once.
"""
