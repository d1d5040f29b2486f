# What Consul would know by itself: other datacenters, federation states, partitions, peers.
datacenter "dc1" {
  primary = true
  node "s1" { address = "10.1.0.11" service { name = "consul" port = 8300 meta { grpc_tls_port = "8503" } } }
}
datacenter "dc2" {
  node "gw1" { address = "10.2.0.1" maintenance = true }
  service {
    kind = "mesh-gateway"  name = "mesh-gateway"  port = 8443  node = "gw1"  modify_index = 7
    tagged_addresses { wan { address = "gw.dc2.example.net" port = 443 } }
  }
  federation_state {
    service { kind = "mesh-gateway" name = "mesh-gateway" port = 8443 node = "gw1" modify_index = 9 }
    node "gw2" { address = "10.2.0.2" service { kind = "mesh-gateway" name = "mesh-gateway" port = 8443 } }
  }
  partition "blue" {
    service { name = "web" port = 80 address = "10.2.0.9" connect { sidecar_service { port = 20000 } } }
  }
}
datacenter "dc3" { federation_state {} }
partition "red" { node "r1" { address = "10.1.9.1" service { name = "web" port = 80 namespace = "team" } } }
peering "north" {
  server_name      = "server.dc9.peering.7d1c6f5a-2b3e-4c8d-a1f0-6e5d4c3b2a19.consul"
  server_addresses = ["198.51.100.1:8443", "[2001:db8:9::1]:8443", "gw.north.example.net:443"]
  modify_index     = 12
  service "db" {
    sni        = "db.default.default.here.external.7d1c6f5a-2b3e-4c8d-a1f0-6e5d4c3b2a19.consul"
    spiffe_ids = ["spiffe://7d1c6f5a-2b3e-4c8d-a1f0-6e5d4c3b2a19.consul/ns/default/dc/dc9/svc/db"]
    protocol   = "tcp"
    instance { address = "10.9.0.1" port = 8443 wan { address = "198.51.100.7" port = 443 } node = "x1" }
    instance { id = "db-2" address = "10.9.0.2" port = 8443 status = "critical" weights { passing = 2 } }
  }
}
