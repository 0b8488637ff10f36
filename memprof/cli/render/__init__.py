"""Answers as text: every function here takes plain data and gives what rich can print."""
