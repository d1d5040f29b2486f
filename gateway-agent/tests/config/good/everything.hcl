# Every block and every setting.
instance   = "edge-1"
datacenter = "dc1"

listener "tls" {
  address = ["10.1.0.1:8443", "[::]:8443", "0.0.0.0:9443"]
  destinations = ["192.0.2.0/24:443", "[fd00:9::]/64:1-1024", "[fd00:9::1]:443",
                  { prefix = "198.51.100.0/24:443", datacenter = "dc2", service = "web" }]
  allow = ["10.0.0.0/8", "fd00::/8"]   deny = ["10.6.6.0/24", "10.7.7.7"]
  accept_proxy = { from = ["10.9.0.0/16"], required = false }
  refuse  = "close"
  default = { route = "WEB.example.com." }
}

listener "steered" { destinations = "203.0.113.0/24:1-65535" }

route "web.example.com" {
  endpoints = ["10.2.0.2:443", "[fd00::2]:443", { address = "shop.internal:443", weight = 3 }]
  balance   = "least_connections"
  allow = [] deny = "10.8.0.0/16"
  send_proxy = "v2"
  datacenter = "dc2"  service = "web"
  connect_timeout = "2s"  idle_timeout = "2h"
  source_addresses = ["10.2.0.1", "fd00::1"]
}
route "*.Shop.example.com" { endpoints = ["shop.internal:443"]  balance = "source_hash" } // one line
route "_sip.tls_1.example" { endpoints = "10.2.0.9:5061"  send_proxy = "v1" balance = "random" }

/* several
   lines */
default { action = "reject" }

limits {
  hello_timeout = "5s"   hello_size = "64KiB"   connect_timeout = "5s"   connect_attempts = 3   attempt_delay = "250ms"
  idle_timeout = "1h"    half_close_timeout = "5m"   connections = 9000   drain_timeout = "0s"
  keepalive = "off"      backlog = 4096
}
health { failures = 5  ejection_time = "30s"  max_ejection_time = "300s"  max_ejected_percent = 10  panic_percent = 50 }
dns    { servers = ["127.0.0.1:5353", "[::1]:53"]  min_ttl = "1s"  max_ttl = "1h" }
engine { prefer = ["packet", "sockmap", "copy"]  sockmap_budget = "256KiB"  sockmap_total = "256MiB"  sockmap_buffer = "4MiB"  self_test = "2s" }
steer  { mode = "auto"  bpffs = "/sys/fs/bpf" }
admin  { socket = "/run/culvert/edge.sock"  metrics = "127.0.0.1:9102" }
log    { level = "debug"  access = "json" }
