# The mesh around every fragment: two datacenters, each with mesh gateways, `web` in dc1, and
# `orders`, `billing` and `search` in dc2. The reader is in dc1. No mode is set here.
#
# The fragments are read one at a time, each together with this file only.

datacenter "dc1" {
  primary = true

  node "dc1-gw1" {
    address = "10.10.0.2"
    service {
      kind = "mesh-gateway"
      name = "mesh-gateway"
      address = "10.10.0.2"
      port = 8443
      tagged_addresses {
        lan { address = "10.10.0.2" port = 8443 }
        wan { address = "198.51.100.2" port = 443 }
      }
    }
  }

  node "dc1-gw2" {
    address = "fd00:10::3"
    service {
      kind = "mesh-gateway"
      name = "mesh-gateway"
      address = "fd00:10::3"
      port = 8443
      tagged_addresses {
        lan { address = "fd00:10::3" port = 8443 }
        wan { address = "2001:db8:10::3" port = 443 }
      }
    }
  }

  node "dc1-app1" {
    address = "10.10.1.1"
    service { name = "search" port = 9200 connect { sidecar_service { port = 21009 } } }
  }
}

datacenter "dc2" {
  node "dc2-gw1" {
    address = "10.20.0.2"
    service {
      kind = "mesh-gateway"
      name = "mesh-gateway"
      address = "10.20.0.2"
      port = 8443
      tagged_addresses {
        lan { address = "10.20.0.2" port = 8443 }
        wan { address = "203.0.113.2" port = 443 }
      }
    }
  }

  node "dc2-app1" {
    address = "10.20.1.1"
    service { name = "orders" port = 9100 connect { sidecar_service { port = 21001 } } }
    service { name = "billing" port = 9101 connect { sidecar_service { port = 21002 } } }
    service { name = "search" port = 9200 connect { sidecar_service { port = 21003 } } }
  }

  node "dc2-app2" {
    address = "10.20.1.2"
    tagged_addresses { lan = "10.20.1.2" wan = "203.0.113.12" }
    service { name = "orders" port = 9100 connect { sidecar_service { port = 21001 } } }
  }
}
