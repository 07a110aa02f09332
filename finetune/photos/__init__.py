"""Photographs: pristine ones with synthetic distortions of known kind, strength and place, and human scores."""
