"""Shows the record and lets it be changed: the GraphQL schema and how it is served."""
