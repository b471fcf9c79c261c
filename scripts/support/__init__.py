"""What scripts/try, scripts/test and scripts/secrets share. Standard library only."""
