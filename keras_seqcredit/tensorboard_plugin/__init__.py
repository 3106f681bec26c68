"""TensorBoard's "Credit" tab, which TensorBoard finds once installed."""
