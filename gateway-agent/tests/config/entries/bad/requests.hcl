config_entries {
  bootstrap { Kind = "proxy-defaults" Name = "global" Config { protocol = "http" } }
  bootstrap {
    Kind = "service-router"
    Name = "web"
    Routes {
      Match { HTTP {
        PathExact = "a"
        PathPrefix = "/b"
        Header = [{ Present = true }, { Name = "x" }, { Name = "y", Exact = "1", Suffix = "2" }, { Name = "z", Regex = "(" }]
        QueryParam { Name = "q" Prefix = "x" }
        Methods = ["get", "GET"]
      } }
      Destination { RetryOnStatusCodes = [99, "x"] NumRetries = -1 }
    }
    Routes { Match { HTTP { PathRegex = "/[" } } Destination { PrefixRewrite = "/" } }
    Routes { Match { Http { Path = "/" } } }
  }
  bootstrap { Kind = "service-splitter" Name = "a" Splits = [{ Weight = 33.3 }, { Weight = 33.3 }, { Weight = 33.3 }] }
  bootstrap { Kind = "service-splitter" Name = "b" Splits = [{ Weight = 0.001 }, { Weight = 101 }] }
  bootstrap { Kind = "service-splitter" Name = "c" }
}
