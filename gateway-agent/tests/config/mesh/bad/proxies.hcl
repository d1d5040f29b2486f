# Proxies, gateways, sidecars and upstreams.
service { kind = "mesh-gateway" name = "gw1" }
service {
  kind = "mesh-gateway" name = "gw2" port = 8443 address = "::"
  meta { consul-other = "1" }
  proxy { destination_service_name = "x" local_service_port = 1 upstreams { destination_name = "y" local_bind_port = 2 } mesh_gateway { mode = "Local" } }
  connect { sidecar_service {} }
}
service { kind = "mesh-gateway" name = "gw3" ports = [{ name = "a", port = 1 }] connect { native = true } }
service { kind = "terminating-gateway" name = "t" meta { consul-wan-federation = "1" } port = 1 }
service { kind = "connect-proxy" name = "p1" }
service { kind = "connect-proxy" name = "p2" port = 1 proxy { mode = "sideways" destination_service_nam = "a" } }
service {
  name = "s1"
  connect { sidecar_service { id = "mine" kind = "mesh-gateway" namespace = "n" partition = "p" connect { native = true sidecar_service {} } address = "0.0.0.0" } }
}
service {
  name = "s2"
  connect { sidecar_service { proxy {
    mesh_gateway { mode = "locale" }
    upstreams { local_bind_port = 1 }
    upstreams { destination_name = "a" }
    upstreams { destination_name = "b" local_bind_port = 2 local_bind_socket_path = "/x" }
    upstreams { destination_name = "c" local_bind_port = 3 datacenter = "dc2" destination_peer = "north" }
    upstreams { destination_name = "d" local_bind_port = 4 destination_type = "querry" mesh_gateway { mod = "local" } }
    upstreams { destination_name = "e" local_bind_port = 5 }
    upstreams { destination_name = "f" local_bind_port = 5 local_bind_address = "127.0.0.1" }
    upstreams { destination_name = "*" local_bind_port = 6 }
    expose { paths = [{ protocol = "tcp" }] }
  } } }
}
