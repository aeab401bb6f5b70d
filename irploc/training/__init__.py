"""Small networks that regress a pose from an embedding: models, recipes, the loop and the model file."""
