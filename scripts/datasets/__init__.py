"""Data sets in their authors' layouts, brought into shards."""
