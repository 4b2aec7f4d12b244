"""The file: tensors, and a description of all else as JSON."""
