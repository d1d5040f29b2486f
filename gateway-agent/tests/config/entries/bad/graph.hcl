config_entries {
  bootstrap { Kind = "service-resolver" Name = "a" Redirect { Service = "b" } }
  bootstrap { Kind = "service-resolver" Name = "b" DefaultSubset = "v1" Subsets { v1 {} } Redirect { Service = "c" } }
  bootstrap { Kind = "service-resolver" Name = "c" Redirect { Service = "a" Datacenter = "dc1" } }
  bootstrap { Kind = "service-resolver" Name = "into" Redirect { Service = "b" ServiceSubset = "v2" } }
  bootstrap {
    Kind = "service-resolver"
    Name = "back"
    Failover { "*" { Targets = [{ Service = "x", ServiceSubset = "y" }, { Peer = "south" }] } }
  }
  bootstrap { Kind = "service-splitter" Name = "web" Splits { Weight = 100 Service = "shop" } }
  bootstrap { Kind = "service-splitter" Name = "shop" Splits = [{ Weight = 50 }, { Weight = 50, Service = "web" }] }
  bootstrap { Kind = "service-splitter" Name = "plain" Splits { Weight = 100 } }
  bootstrap { Kind = "service-defaults" Name = "web" Protocol = "http" }
  bootstrap { Kind = "service-defaults" Name = "shop" Protocol = "grpc" }
  bootstrap { Kind = "service-defaults" Name = "plain" Protocol = "tcp" }
  bootstrap { Kind = "service-router" Name = "web" Routes { Destination { Service = "plain" ServiceSubset = "v1" } } }
  bootstrap { Kind = "ingress-gateway" Name = "edge" Listeners { Port = 1 Services { Name = "web" } } }
  bootstrap { Kind = "exported-services" Name = "default" Services { Name = "a" Consumers { Peer = "nort" } } }
}
