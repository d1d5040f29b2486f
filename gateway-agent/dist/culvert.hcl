# culvert, a mesh gateway: which server name goes where.
#
# Check it, with every default and what this host lacks:  culvert check -c /etc/culvert/culvert.hcl
# Take over changes without a restart:                    culvert reload
#
# Nothing here is required but one listener; what is commented out is the default.

# instance   = "default"      # several gateways on one host need a name each
# datacenter = ""             # a label, for metrics and `culvert routes`

listener "tls" {
  address = ["0.0.0.0:8443", "[::]:8443"]

  # Who may connect, by source; the longest prefix wins. Any `allow` denies everybody else.
  # allow = ["10.0.0.0/8", "fd00::/8"]
  # deny  = ["10.6.6.0/24"]

  # Whole networks, steered here by the kernel without an address for each:
  # destinations = ["192.0.2.0/24:443", "[fd00:9::]/64:1-1024"]

  # Behind a balancer that speaks the PROXY protocol:
  # accept_proxy = { from = ["10.9.0.0/16"], required = true }

  # refuse = "alert"          # or "close": no TLS alert
}

# The mesh gateway of a datacenter, by the files of a folder beside this one (docs/mesh.md). These two need a
# `datacenter`, at the top of this file, and the mesh's own trust domain:
#
# trust_domain = "11111111-2222-3333-4444-555555555555.consul"
#
# gateway "mesh" {
#   address     = ["10.1.0.1:8443"]   # else as registered in the folder
#   wan_address = "203.0.113.10:443"  # what other datacenters dial
#   # expose_servers = false          # for WAN federation
#   # hostnames      = "all"          # or "first": one name of a remote group, as Envoy does
#   # allow, deny, accept_proxy, refuse: as in `listener`
# }
#
# source "files" { path = "mesh.d" }
#
# primary_datacenter       = "dc1"    # else `datacenter`
# partition                = "default"
# domain                   = "consul"
# default_intention_policy = "deny"   # or "allow"
# mode_rules               = "1.14"   # or "1.8": which precedence of gateway modes

# An exact name comes before the longest suffix; `*` stands for one or more labels.
route "web.example.com" {
  endpoints = ["127.0.0.1:9443", "[::1]:9443"]
}

route "*.shop.example.com" {
  endpoints = [
    { address = "127.0.0.1:9444", weight = 3 },
    { address = "127.0.0.1:9445" },
  ]
  balance = "least_connections" # round_robin | least_connections | random | source_hash
  # send_proxy       = "v2"
  # connect_timeout  = "5s"
  # idle_timeout     = "1h"
  # source_addresses = ["10.2.0.1"]
}

# Names without a route, and hellos without a name:
default { action = "reject" }   # or: default { route = "web.example.com" }

# limits {
#   hello_timeout      = "5s"
#   hello_size         = "64KiB"
#   connect_timeout    = "5s"
#   connect_attempts   = 3
#   attempt_delay      = "250ms"
#   idle_timeout       = "1h"
#   half_close_timeout = "5m"
#   connections        = 9000   # else computed from the descriptor limit
#   drain_timeout      = "30s"
#   keepalive          = "60s"
#   backlog            = 4096
# }

admin {
  # socket = "/run/culvert/default.sock"
  metrics = "127.0.0.1:9102"    # metrics, health and readiness; without it, on the socket only
}

# log {
#   level  = "info"
#   access = "text"             # text | json | off
# }
