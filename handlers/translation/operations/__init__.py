"""Everything that is no conversation: one request, one answer (embeddings, rerank, moderations, images, audio, counting)."""
