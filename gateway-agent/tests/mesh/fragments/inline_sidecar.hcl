# The same in a sidecar that is declared with its service.
#
# explain --service web --upstream orders: local, level 3 (proxy.mesh_gateway); through the mesh
#   gateways of dc1: 10.10.0.2:8443 and [fd00:10::3]:8443.

service {
  name    = "web"
  address = "10.10.1.2"
  port    = 8080
  connect {
    sidecar_service {
      port = 21000
      proxy {
        mesh_gateway {
          mode = "local"
        }
        upstreams {
          destination_name = "orders"
          datacenter       = "dc2"
          local_bind_port  = 5001
        }
      }
    }
  }
}
