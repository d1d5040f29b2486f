# 0.0.0.0 and [::] may stand together; overlapping destinations of different width may, too.
listener "both" {
  address      = ["0.0.0.0:443", "[::]:443"]
  destinations = ["192.0.2.0/24:443", "192.0.2.0/24:1-1024", "192.0.2.0/25:443"]
}
