"""Result to Document to bytes; renderers know documents, never analyses."""
