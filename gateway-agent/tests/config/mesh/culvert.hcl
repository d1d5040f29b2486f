# The host's own file, beside which each fixture stands alone as mesh.d/NAME.
datacenter         = "dc1"
primary_datacenter = "dc1"
trust_domain       = "5b2f6c1e-8d3a-4f70-9c15-2e7ab90d4c61.consul"

gateway "mesh" {
  address     = ["10.1.0.1:8443", "[fd00:1::1]:8443"]
  wan_address = "203.0.113.10:443"
}

source "files" { path = "mesh.d" }
