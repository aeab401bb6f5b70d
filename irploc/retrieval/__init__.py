"""Embeddings on disk, the search index over them, and the pipeline that fills them."""
