# `web` in dc1, whose registration says nothing of modes: read along with the fragments that are
# config entries.

node "dc1-web1" {
  address = "10.10.1.2"
  service {
    name = "web"
    port = 8080
    connect {
      sidecar_service {
        port = 21000
        proxy {
          upstreams = [
            { destination_name = "orders" datacenter = "dc2" local_bind_port = 5001 },
            { destination_name = "search" local_bind_port = 5002 },
          ]
        }
      }
    }
  }
}
