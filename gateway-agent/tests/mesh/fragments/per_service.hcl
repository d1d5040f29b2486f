# A mode for the upstreams of one service. Read with web.hcl.
#
# explain --service web --upstream orders: remote, level 5 (service-defaults web); through the mesh
#   gateway of dc2: 203.0.113.2:443.

Kind = "service-defaults"
Name = "web"
MeshGateway {
  Mode = "remote"
}
