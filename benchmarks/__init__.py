"""What things cost, each as a ratio against a baseline of the same run. `make bench` prints all of it."""
