config_entries {
  bootstrap {
    Kind = "ingress-gateway"
    Name = "edge"
    TLS { Enabled = true TLSMinVersion = "TLSv1_3" TLSMaxVersion = "TLSv1_2" CipherSuites = ["X"] }
    Listeners = [
      { Port = 80, Protocol = "https" },
      { Port = 80, Protocol = "tcp", Services = [{ Name = "a", Hosts = ["x"] }, { Name = "*" }, {}] },
      { Protocol = "http", Services = [] },
      {
        Port = 81
        Protocol = "http"
        TLS { SDS { CertResource = "x" } }
        Services = [
          { Name = "*", Hosts = ["a.example.com"] },
          { Name = "b", Hosts = ["*", "a.*.com", "*.", "A.example.com"] },
          { Name = "b" },
          { Name = "c", TLS = { SDS = { ClusterName = "x" } } },
        ]
      },
      { Port = 82, Services = [{ Name = "t", RequestHeaders = { Add = { x = "y" } } }] },
    ]
  }
  bootstrap {
    Kind = "terminating-gateway"
    Name = "outlet"
    Services = [
      { Name = "a", CertFile = "/cert.pem" },
      { Name = "b", KeyFile = "/key.pem", CAFile = "/ca.pem" },
      { Name = "A" },
      { SNI = "x" },
      { Name = "c", CaFiles = "x" },
    ]
  }
  bootstrap { Kind = "mesh" TLS { Incoming { TLSMinVersion = "1.2" } } Peering { PeerThroughMeshGateway = true } }
  bootstrap {
    Kind = "exported-services"
    Name = "other"
    Services = [
      { Name = "a" },
      { Consumers = [{ Peer = "*" }, {}, { Peer = "north", Partition = "blue" }] },
    ]
  }
}
