# Modes for one service, as a client: of one upstream, and of all others. Read with web.hcl.
#
# Rules 1.14:
#   explain --service web --upstream orders: local, level 2 (override).
#   explain --service web --upstream billing --datacenter dc2: remote, level 4 (defaults).
# Rules 1.8:
#   both: none, level 5, since upstream_config has no say there.

config_entries {
  bootstrap {
    kind = "service-defaults"
    name = "web"
    mesh_gateway { mode = "none" }
    upstream_config {
      defaults { mesh_gateway { mode = "remote" } }
      overrides = [
        { name = "orders" mesh_gateway { mode = "local" } },
      ]
    }
  }
}
