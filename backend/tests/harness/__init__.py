"""What the tests run against: a real PostgreSQL 15, a real pgBouncer, a real server process."""
