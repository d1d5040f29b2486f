# Every field of every kind of config entry, in the spelling of Consul's reference.
config_entries {
  bootstrap {
    Kind = "proxy-defaults"
    Name = "global"
    Meta = { owner = "platform" }
    Config = {
      protocol                 = "http"
      local_connect_timeout_ms = "5000"
      nested                   = { list = [1, "two", true] }
    }
    Mode = "transparent"
    TransparentProxy {
      OutboundListenerPort = 15001
      DialedDirectly       = true
    }
    MutualTLSMode = "permissive"
    MeshGateway { Mode = "local" }
    Expose {
      Checks = true
      Paths = [
        {
          Path          = "/health"
          ListenerPort  = 21500
          LocalPathPort = 8080
          Protocol      = "http2"
        },
      ]
    }
    AccessLogs {
      Enabled             = true
      DisableListenerLogs = true
      Type                = "file"
      Path                = "/var/log/access.json"
      JSONFormat          = "{}"
    }
    EnvoyExtensions = [
      {
        Name          = "builtin/lua"
        Required      = true
        Arguments     = { script = "return" }
        ConsulVersion = ">= 1.15"
        EnvoyVersion  = ">= 1.24"
      },
    ]
    FailoverPolicy {
      Mode    = "order-by-locality"
      Regions = ["eu-1", "eu-2"]
    }
    PrioritizeByLocality { Mode = "failover" }
    CreateIndex = 10
    ModifyIndex = 12
    Hash        = 8765432109876543210
  }

  bootstrap {
    Kind        = "service-defaults"
    Name        = "web"
    Protocol    = "HTTP"
    Mode        = "direct"
    ExternalSNI = "web.example.com"
    MeshGateway { Mode = "remote" }
    UpstreamConfig {
      Overrides = [
        {
          Name             = "db"
          Namespace        = "data"
          Partition        = "blue"
          Protocol         = "tcp"
          ConnectTimeoutMs = 2500
          Limits {
            MaxConnections        = 100
            MaxPendingRequests    = 0
            MaxConcurrentRequests = 50
          }
          PassiveHealthCheck {
            Interval                = "10s"
            MaxFailures             = 3
            EnforcingConsecutive5xx = 90
            MaxEjectionPercent      = 20
            BaseEjectionTime        = 15000000000
          }
          MeshGateway { Mode = "none" }
          BalanceOutboundConnections = "exact_balance"
        },
        {
          Name = "db"
          Peer = "north"
        },
      ]
      Defaults {
        Limits { MaxConnections = "7" }
      }
    }
    MaxInboundConnections     = 1000
    LocalConnectTimeoutMs     = 4000
    LocalRequestTimeoutMs     = 9000
    BalanceInboundConnections = "exact_balance"
    MaxRequestHeadersKB       = 96
    RateLimits {
      InstanceLevel {
        RequestsPerSecond = 100
        RequestsMaxBurst  = 200
        Routes = [
          {
            PathPrefix        = "/slow"
            RequestsPerSecond = 1
            RequestsMaxBurst  = 2
          },
        ]
      }
    }
  }

  bootstrap {
    Kind     = "service-defaults"
    Name     = "outside"
    Protocol = "http"
    Destination {
      Addresses = ["db.example.com", "192.0.2.4", "2001:db8::4"]
      Port      = 443
    }
  }

  bootstrap {
    Kind          = "service-resolver"
    Name          = "web"
    DefaultSubset = "v1"
    Subsets = {
      v1 = { Filter = "Service.Meta.version == \"1\"" }
      v2 = {
        Filter      = "Service.Meta.version == `2` and \"canary\" not in Service.Tags"
        OnlyPassing = true
      }
    }
    Failover = {
      "*" = { Datacenters = ["dc2", "dc3"] }
      v2 = {
        Targets = [
          { ServiceSubset = "v1" },
          { Service = "web", Peer = "north" },
          { Datacenter = "dc4" },
        ]
        Policy {
          Mode    = "sequential"
          Regions = ["eu-1"]
        }
      }
    }
    ConnectTimeout = "33s"
    RequestTimeout = 1500000000
    PrioritizeByLocality { Mode = "none" }
    LoadBalancer {
      Policy = "ring_hash"
      RingHashConfig {
        MinimumRingSize = 512
        MaximumRingSize = 4096
      }
      HashPolicies = [
        { Field = "header", FieldValue = "x-user", Terminal = true },
        { Field = "query_parameter", FieldValue = "user" },
        {
          Field      = "cookie"
          FieldValue = "session"
          CookieConfig {
            TTL  = "30m"
            Path = "/"
          }
        },
        { SourceIP = true },
      ]
    }
  }

  bootstrap {
    Kind      = "service-resolver"
    Name      = "api"
    Partition = "default"
    Redirect {
      Service       = "web"
      ServiceSubset = "v2"
      Datacenter    = "dc2"
    }
    LoadBalancer {
      Policy             = "least_request"
      LeastRequestConfig = { ChoiceCount = 5 }
    }
  }

  bootstrap {
    Kind = "service-resolver"
    Name = "local"
    # What all datacenters share, and a circle in none of them.
    Redirect { Datacenter = "dc1" }
  }

  bootstrap {
    Kind = "service-router"
    Name = "web"
    Routes = [
      {
        Match {
          HTTP {
            PathPrefix      = "/admin"
            CaseInsensitive = true
            Header = [
              { Name = "x-debug", Present = true },
              { Name = "x-env", Exact = "test", Invert = true },
              { Name = "x-a", Prefix = "a" },
              { Name = "x-b", Suffix = "b" },
              { Name = "x-c", Regex = "^c+$" },
            ]
            QueryParam = [
              { Name = "debug", Present = true },
              { Name = "level", Exact = "1" },
              { Name = "mode", Regex = "[a-z]+" },
            ]
            Methods = ["get", "POST"]
          }
        }
        Destination {
          Service               = "admin"
          ServiceSubset         = ""
          PrefixRewrite         = "/"
          RequestTimeout        = "-1s"
          IdleTimeout           = "30s"
          NumRetries            = 5
          RetryOnConnectFailure = true
          RetryOn               = ["5xx", "reset"]
          RetryOnStatusCodes    = [502, 503]
          RequestHeaders = {
            Add    = { x-gateway = "culvert" }
            Set    = { host = "admin" }
            Remove = ["x-secret"]
          }
          ResponseHeaders { Remove = ["server"] }
        }
      },
      { Match = { HTTP = { PathRegex = "/v[0-9]+" } }, Destination = { Service = "canary" } },
      { Match = { HTTP = { PathExact = "/" } } },
    ]
  }

  bootstrap {
    Kind = "service-splitter"
    Name = "canary"
    Splits = [
      {
        Weight        = 99.5
        Service       = "web"
        ServiceSubset = "v1"
        RequestHeaders { Set = { x-version = "1" } }
      },
      {
        Weight        = "0.5"
        Service       = "web"
        ServiceSubset = "v2"
        ResponseHeaders { Add = { x-version = "2" } }
      },
      { Service = "web", Namespace = "old" },
    ]
  }

  bootstrap {
    Kind = "service-intentions"
    Name = "web"
    JWT {
      Providers = [
        {
          Name         = "okta"
          VerifyClaims = [{ Path = ["perms", "role"], Value = "admin" }]
        },
      ]
    }
    Sources = [
      { Name = "api", Action = "allow", Type = "consul", Description = "our own", Precedence = 9 },
      { Name = "*", Namespace = "*", Action = "deny" },
      { Name = "api", Peer = "north", Action = "allow" },
      {
        Name = "shop"
        Permissions = [
          {
            Action = "allow"
            HTTP {
              PathPrefix = "/v1"
              Header = [
                { Name = "x-a", Contains = "b", IgnoreCase = true },
                { Name = "x-b", Present = true, Invert = true },
              ]
              Methods = ["GET", "HEAD"]
            }
          },
          { Action = "allow", HTTP = { PathExact = "/health" } },
          { Action = "deny", HTTP = { PathRegex = "/.*" } },
        ]
      },
    ]
  }

  bootstrap {
    Kind = "service-intentions"
    Name = "*"
    Sources = [{ Name = "*", Action = "deny" }]
  }

  bootstrap {
    Kind = "ingress-gateway"
    Name = "edge"
    TLS {
      Enabled       = true
      TLSMinVersion = "TLSv1_2"
      TLSMaxVersion = "TLSv1_3"
      CipherSuites  = ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
      SDS {
        ClusterName  = "sds"
        CertResource = "wildcard"
      }
    }
    Defaults {
      MaxConnections = 512
      PassiveHealthCheck { MaxFailures = 10 }
    }
    Listeners = [
      {
        Port     = 8443
        Protocol = "HTTP"
        TLS { SDS { CertResource = "edge" } }
        Services = [
          {
            Name  = "web"
            Hosts = ["web.example.com", "*.web.example.com"]
            TLS { SDS { CertResource = "web" } }
            MaxPendingRequests = 20
            RequestHeaders { Add = { x-edge = "1" } }
          },
          { Name = "*" },
        ]
      },
      { Port = 9000, Services = [{ Name = "db", Namespace = "data" }] },
    ]
  }

  bootstrap {
    Kind = "service-defaults"
    Name = "db"
    Namespace = "data"
    Protocol  = "tcp"
  }

  bootstrap {
    Kind = "terminating-gateway"
    Name = "outlet"
    Services = [
      {
        Name                   = "billing"
        CAFile                 = "/etc/ca.pem"
        CertFile               = "/etc/cert.pem"
        KeyFile                = "/etc/key.pem"
        SNI                    = "billing.example.com"
        DisableAutoHostRewrite = true
      },
      { Name = "*" },
    ]
  }

  bootstrap {
    Kind = "mesh"
    TransparentProxy { MeshDestinationsOnly = true }
    AllowEnablingPermissiveMutualTLS = true
    ValidateClusters                 = true
    TLS {
      Incoming {
        TLSMinVersion = "TLSv1_1"
        TLSMaxVersion = "TLSv1_2"
        CipherSuites  = ["TLS_RSA_WITH_AES_256_CBC_SHA"]
      }
      Outgoing { TLSMinVersion = "TLS_AUTO" }
    }
    HTTP {
      SanitizeXForwardedClientCert = true
      Incoming {
        RequestNormalization {
          InsecureDisablePathNormalization = true
          MergeSlashes                     = true
          PathWithEscapedSlashesAction     = "REJECT_REQUEST"
          HeadersWithUnderscoresAction     = "DROP_HEADER"
        }
      }
    }
    Peering { PeerThroughMeshGateways = true }
  }

  bootstrap {
    Kind = "exported-services"
    Name = "default"
    Services = [
      {
        Name      = "web"
        Namespace = "team"
        Consumers = [{ Peer = "north" }, { Partition = "blue" }, { SamenessGroup = "all" }]
      },
      { Name = "*", Consumers = [{ Peer = "north" }] },
    ]
  }
}
