"""What the testinfra tests of all scenarios share."""
