"""Manifests from files, folders, charts and standard input: found, rendered, parsed, located."""

from meshwarden.adapters.manifests.discover import Discovery, Package, Source
from meshwarden.adapters.manifests.documents import parse_documents
from meshwarden.adapters.manifests.positions import Place, locate
from meshwarden.adapters.manifests.render import render

__all__ = ["Discovery", "Package", "Place", "Source", "locate", "parse_documents", "render"]
