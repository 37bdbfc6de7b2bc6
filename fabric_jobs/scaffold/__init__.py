"""Generates files from templates: finds them, renders them, writes the result safely."""
