"""YAML files into `kernel.Node` trees that know their lines, within bounds."""

from meshwarden.adapters.yaml.codec import load_bytes, load_document, parse_document

__all__ = ["load_bytes", "load_document", "parse_document"]
