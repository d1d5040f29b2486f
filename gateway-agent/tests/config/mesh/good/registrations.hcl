# Registrations in the forms of Consul's documentation.
service {
  name = "shop"
  id   = "shop-1"
  port = 8080
  tags = ["v2", "green"]
  meta { version = "2" }

  check {
    id       = "shop-alive"
    http     = "http://127.0.0.1:8080/health"
    interval = "10s"
    timeout  = "1s"
  }

  connect {
    sidecar_service {
      proxy {
        mesh_gateway { mode = "local" }
        upstreams {
          destination_name = "stock"
          datacenter       = "dc2"
          local_bind_port  = 9191
          mesh_gateway { mode = "remote" }
        }
        upstreams = [
          { destination_name = "prices", local_bind_port = "9192", destination_type = "prepared_query" },
          { destination_name = "tax", local_bind_socket_path = "/run/tax.sock", local_bind_socket_mode = "0600" },
        ]
        config { protocol = "tcp" }
      }
    }
  }
}

service {
  Kind = "connect-proxy"
  Name = "cart-sidecar-proxy"
  Port = 21500
  Address = "10.1.0.7"
  Proxy {
    DestinationServiceName = "cart"
    DestinationServiceID   = "cart-1"
    LocalServicePort       = 8081
    MeshGateway { Mode = "none" }
    Mode = "transparent"
    TransparentProxy { OutboundListenerPort = 15001 }
    Expose { Checks = true  Paths = [{ Path = "/metrics", LocalPathPort = 9100, ListenerPort = 21600, Protocol = "http" }] }
    Upstreams = [{ DestinationName = "stock", Config { connect_timeout_ms = 2000 } }]
  }
  Weights { Passing = 3  Warning = 1 }
}

service {
  kind = "mesh-gateway"
  name = "mesh-gateway"
  port = 8443
  tagged_addresses {
    lan { address = "10.1.0.1" port = 8443 }
    wan { address = "203.0.113.9" port = 443 }
  }
  meta { consul-wan-federation = "1" }
  proxy { config { envoy_gateway_bind_tagged_addresses = true } }
}

services {
  name = "native"
  port = 9000
  connect { native = true }
}
services = [
  { name = "many", ports = [{ name = "http", port = 80 }, { name = "admin", port = 81, default = true }], node = "n1" },
  { kind = "terminating-gateway", name = "exit", port = 8444, node = "n1" },
  { kind = "ingress-gateway", name = "entry", node = "n1" },
]

node "n1" {
  id      = "6c7d3b0e-1a2f-4f5e-8f7a-0c1d2e3f4a5b"
  address = "fd00:1::5"
  tagged_addresses { lan = "fd00:1::5"  wan = "2001:db8::5" }
  meta { rack = "7" }
  check { id = "disk" name = "disk space" status = "warning" output = "90 % full" }
  service { name = "consul" port = 8300 }
}
check { node = "n1" service_id = "many" name = "many-up" status = "critical" }
check { id = "late" service_id = "shop-1" status = "warning" }
