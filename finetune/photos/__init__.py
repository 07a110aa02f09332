"""Photographs: pristine ones, distorted in known ways, strengths and places, and such with human scores."""
