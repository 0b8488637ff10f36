"""What a run will need, before there is hardware to run it on."""
