listener "tls" {
  address = ["0.0.0.0:443", "10.1.0.1:443"]
  destinations = ["192.0.2.0/24:440-450", "192.0.2.0/24:445-455", "[fd00::]/64:443"]
}
listener "tls" { address = "[::1]:443" }
listener "other" {
  address = "[::]:443"
  destinations = ["[fd00::]/64:443"]
  default = { route = "web.tset" }
}
route "web.test" { endpoints = ["127.0.0.1:1"] }
default { route = "nobody.test" }
admin { metrics = "127.0.0.1:443" }
