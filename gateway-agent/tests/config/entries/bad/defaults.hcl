config_entries {
  bootstrap {
    Kind = "proxy-defaults"
    Name = "global"
    MeshGateway { Mode = "Local" }
    Mode = "tproxy"
    MutualTLSMode = "lax"
    TransparentProxy { OutboundListenerPort = 70000 }
    Expose {
      Paths = [
        { Path = "health", ListenerPort = 1, LocalPathPort = 2 },
        { Path = "/x", ListenerPort = 1, Protocol = "grpc" },
      ]
    }
    AccessLogs { Path = "/x" JsonFormat = "{}" TextFormat = "x" }
    EnvoyExtensions { Required = true }
    FailoverPolicy { Mode = "random" }
    PrioritizeByLocality { Mode = "always" }
  }
  bootstrap {
    Kind = "service-defaults"
    Name = "*"
    Protocol = "udp"
    MeshGateway = "local"
    UpstreamConfig {
      Overrides {
        MeshGateway { Mode = "remotely" }
      }
      Overrides { Name = "db" Limits { MaxConnections = -1 } }
      Overrides { Name = "DB" PassiveHealthCheck { Interval = "soon" } }
      Defaults { Name = "db" ConnectTimeoutMs = "1s" }
    }
    Destination { Addresses = ["*.example.com", "a.example.com:80", "b.example.com", "b.example.com"] }
    BalanceInboundConnections = "fair"
    RateLimits { InstanceLevel { Routes { PathExact = "x" PathPrefix = "/y" } Routes { RequestsPerSecond = 1 } } }
  }
  bootstrap {
    Kind = "service-defaults"
    Name = "empty"
    Destination { Port = 0 }
  }
}
