"""Guides and classifiers for the user's own classes, trained on a folder of labelled images."""
