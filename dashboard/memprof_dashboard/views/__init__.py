"""What can be opened under the timeline: each view in a file of its own."""
