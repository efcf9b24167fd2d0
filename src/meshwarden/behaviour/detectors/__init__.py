"""Detectors: one file each, all behind `contract.Detector`."""
