config_entries {
  bootstrap { Name = "web" }
  bootstrap { Kind = "service-resolve" Name = "web" }
  bootstrap { Kind = "Service-Resolver" Name = "web" }
  bootstrap { Kind = "http-route" Name = "web" }
  bootstrap { Kind = ["mesh"] }
  bootstrap { Kind = "service-router" }
  bootstrap { Kind = "proxy-defaults" Name = "globals" }
  bootstrap { Kind = "proxy-defaults" }
  bootstrap { Kind = "mesh" Name = "default" }
  bootstrap {
    Kind = "service-resolver"
    Name = "twice"
    ConectTimeout = "5s"
    default_subsets = ""
  }
  bootstrap { kind = "service-resolver" name = "Twice" }
  bootstrap { kind = "service-resolver" name = "twice" namespace = "other" }
}
