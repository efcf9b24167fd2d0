"""YAML files into `kernel.Node` trees that know their lines, within bounds; plain values back."""

from meshwarden.adapters.yaml.codec import load_bytes, load_document, parse_document
from meshwarden.adapters.yaml.render import render_documents

__all__ = ["load_bytes", "load_document", "parse_document", "render_documents"]
