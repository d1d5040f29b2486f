# /etc/culvert/culvert.hcl: the smallest useful gateway. `culvert check -c FILE` shows every
# default and tests the host; `culvert explain NAME` says where a name would go.

listener "tls" { address = ["0.0.0.0:443", "[::]:443"] }

route "web.example.com"    { endpoints = ["10.2.0.2:443", "[fd00::2]:443"] }
route "*.shop.example.com" { endpoints = ["shop.internal:443"] }

default { action = "reject" }

admin { metrics = "127.0.0.1:9102" }
