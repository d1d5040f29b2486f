# A mode for all upstreams of one proxy, in its registration.
#
# explain --service web --upstream orders: remote, level 3 (proxy.mesh_gateway); through the mesh
#   gateway of dc2: 203.0.113.2:443.

service {
  kind    = "connect-proxy"
  id      = "web-1-proxy"
  name    = "web-proxy"
  address = "10.10.1.2"
  port    = 21000
  proxy {
    destination_service_name = "web"
    destination_service_id   = "web-1"
    local_service_address    = "127.0.0.1"
    local_service_port       = 8080
    mesh_gateway {
      mode = "remote"
    }
    upstreams = [
      {
        destination_name = "orders"
        datacenter       = "dc2"
        local_bind_port  = 5001
      }
    ]
  }
}
