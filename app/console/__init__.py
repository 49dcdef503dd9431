"""The web console: pages that a browser builds from files that are built beforehand, see ``console/``."""
