"""The page "Credit" of TensorBoard, found by it once this is installed."""
