"""Thin adapters to other people's evaluation harnesses; each imports its harness only when it is used."""
