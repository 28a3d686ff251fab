"""WeChat Pay v3: barcode (codepay) and QR (native)."""
