config_entries {
  bootstrap {
    Kind = "service-resolver"
    Name = "web"
    DefaultSubset = "v3"
    Subsets {
      v1 { Filter = "Service.Meta.version = \"1\"" }
      V2 { OnlyPassing = "maybe" }
      "-x" {}
      v1 {}
      v4 { Filter = "Service.Metta.version == 1" Filters = "" }
    }
    Redirect {}
    Failover {
      v9 { Service = "other" }
      v1 {}
      "*" { Datacenters = ["dc2", ""] Targets = [{}, { Peer = "north", Datacenter = "dc1" }] }
    }
    ConnectTimeout = "-1s"
    RequestTimeout = "5 minutes"
    LoadBalancer {
      Policy = "random"
      LeastRequestConfig { ChoiceCount = 2 }
      RingHashConfig { MinimumRingSize = 2 }
      HashPolicies = [
        {},
        { Field = "header" },
        { Field = "cookie", FieldValue = "c", SourceIP = true, CookieConfig = { Session = true, TTL = "1s" } },
        { Field = "body", CookieConfig = {} },
      ]
    }
  }
  bootstrap {
    Kind = "service-resolver"
    Name = "api"
    Redirect { ServiceSubset = "v1" Peer = "north" }
  }
  bootstrap {
    Kind = "service-resolver"
    Name = "old"
    Subsets = { v1 = { Filter = "Service.Meta.a matches \"(\"" } }
    Redirect { Service = "a", Partition = "p", Datacenter = "d" }
    Redirect { Service = "b" }
  }
}
