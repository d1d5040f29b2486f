# A mode for each upstream of one proxy, over one for all of them.
#
# explain --service web --upstream orders: local, level 1; through the mesh gateways of dc1:
#   10.10.0.2:8443 and [fd00:10::3]:8443.
# explain --service web --upstream billing: remote, level 1; through the mesh gateway of dc2:
#   203.0.113.2:443.
# explain --service web --upstream search: none, level 1; straight to the instance in dc2:
#   10.20.1.1:21003.

service {
  kind    = "connect-proxy"
  name    = "web-proxy"
  address = "10.10.1.2"
  port    = 21000
  proxy {
    destination_service_name = "web"
    mesh_gateway {
      mode = "remote"
    }
    upstreams = [
      {
        destination_name = "orders"
        datacenter       = "dc2"
        local_bind_port  = 5001
        mesh_gateway {
          mode = "local"
        }
      },
      {
        destination_name = "billing"
        datacenter       = "dc2"
        local_bind_port  = 5002
        mesh_gateway {
          mode = "remote"
        }
      },
      {
        destination_name = "search"
        datacenter       = "dc2"
        local_bind_port  = 5003
        mesh_gateway {
          mode = "none"
        }
      }
    ]
  }
}
