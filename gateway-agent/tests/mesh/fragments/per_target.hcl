# A mode for everybody who dials one service: it counts where the downstream says nothing. Read
# with web.hcl.
#
# explain --service web --upstream orders: remote, level 7 (service-defaults orders).
# explain --service web --upstream billing --datacenter dc2: nobody says one, as none; straight to
#   10.20.1.1:21002.

config_entries {
  bootstrap = [
    {
      Kind = "service-defaults"
      Name = "orders"
      MeshGateway = { Mode = "remote" }
    },
  ]
}
