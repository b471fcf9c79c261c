"""A small shop: articles with pictures and labels, and orders."""
