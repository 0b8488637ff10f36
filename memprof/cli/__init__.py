"""The command line: one file per verb. It renders what the rooms below it worked out."""
