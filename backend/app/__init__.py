"""The IntoWork API."""
