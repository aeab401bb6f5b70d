"""Visual localization from image-retrieval embeddings."""
