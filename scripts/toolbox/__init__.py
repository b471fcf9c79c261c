"""What the commands for a database host share. It is copied to the hosts, so it imports nothing else of this project."""
